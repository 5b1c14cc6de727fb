"""Data sets, and the tasks and networks that are made for them."""
