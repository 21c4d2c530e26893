"""Clients of the backend, created from environment variables."""

from __future__ import annotations

import os


def create_backend_client():
    """Create one if there is an address."""
    return os.environ.get("BACKEND")
