"""A backend from which plugins are fetched over HTTP."""
