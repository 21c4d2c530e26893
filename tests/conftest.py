"""What all tests share."""

from __future__ import annotations

import os

import pytest

# httpx2 is installed as well and would be taken by itself; `make test-httpx2` asks for it.
os.environ.setdefault("SYNAPSE_HTTP_LIBRARY", "httpx")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run the tests marked `anyio` on asyncio alone."""
    return "asyncio"
