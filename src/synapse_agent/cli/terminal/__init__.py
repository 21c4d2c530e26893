"""What a command shows on a terminal or writes to a pipe."""
