"""What all tests share."""

from __future__ import annotations

import os

import pytest

# httpx2 is installed as well and would be taken by itself; `make test-httpx2` asks for it.
os.environ.setdefault("SYNAPSE_HTTP_LIBRARY", "httpx")
# Every answer of every agent that a test starts, in this process or another, is held to the contract.
os.environ["SYNAPSE_AGENT_CHECK_ANSWERS"] = "1"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run the tests marked `anyio` on asyncio alone."""
    return "asyncio"
