"""The code of NAME."""
