"""The commands, their options, and the files that hold them."""
