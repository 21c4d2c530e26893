"""Actions written with the public SDK."""
