"""What a command does with its configuration: loops, files and results."""
