"""Sends requests: retries, pages, follows jobs, and runs the generated functions."""
