"""How a program comes in: from a file, or from Python."""
