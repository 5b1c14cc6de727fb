"""The command line and all that is private to it."""
