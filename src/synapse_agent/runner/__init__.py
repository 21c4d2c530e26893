"""Runners: what turns a plugin's action and its params into a result."""
