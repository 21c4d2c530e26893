"""Plugins: their configuration, requirements and releases, and the sources they are fetched from."""
