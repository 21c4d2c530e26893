"""Connections: a small pool of our own, or the HTTP library if a caller's settings need it."""
