"""Clients of the backend, from what environment variables say."""

from __future__ import annotations

import os


def create_backend_client():
    """Make one where there is an address."""
    return os.environ.get("BACKEND")
