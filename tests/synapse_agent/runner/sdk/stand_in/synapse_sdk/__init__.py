"""Stands in for the public SDK where a test needs one that misbehaves."""
