"""What operators see of an agent: its log, its figures, and the stream of what changes."""
