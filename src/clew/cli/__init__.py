"""The command line: words to operations and back. Data goes to standard output, talk to standard error."""
