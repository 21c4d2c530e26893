"""Suggests boxes."""
