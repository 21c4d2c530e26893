"""A backend that plugins are fetched from over HTTP."""
