"""Merges boxes."""
