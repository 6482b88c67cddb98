"""In which order a program's stages run, and where the data they wait for is found."""
