"""Checks labels."""
