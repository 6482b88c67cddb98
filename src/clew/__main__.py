"""`python -m clew`: the command line."""

from clew.cli.main import main

main()
