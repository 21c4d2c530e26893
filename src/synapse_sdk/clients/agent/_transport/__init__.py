"""Connections: our own small pool, or the HTTP library if the settings need it."""
