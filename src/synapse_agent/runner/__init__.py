"""Runners, which execute a plugin's action with params and return its result."""
