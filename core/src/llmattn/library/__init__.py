"""What a program calls: the commands as functions, whose results are objects."""
