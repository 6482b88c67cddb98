"""The loops: the only place where things happen by themselves."""
