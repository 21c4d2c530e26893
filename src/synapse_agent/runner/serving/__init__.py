"""Served models: workers that stay, their calls, and the applications that combine both."""
