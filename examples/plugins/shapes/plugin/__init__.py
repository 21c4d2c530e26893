"""Actions of every shape."""
