"""Plugins: their configuration, requirements and releases, and the sources that they are fetched from."""
