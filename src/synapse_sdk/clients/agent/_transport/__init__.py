"""Connections: a small pool of our own, and the HTTP library where a caller's settings ask for it."""
