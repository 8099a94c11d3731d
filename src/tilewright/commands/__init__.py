"""The verbs of the command line, one file each. Everything heavy is imported inside the functions."""
