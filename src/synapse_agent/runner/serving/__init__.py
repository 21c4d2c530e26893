"""Served models: workers that stay, the calls that they are handed, and the applications that both belong to."""
