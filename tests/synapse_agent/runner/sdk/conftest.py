"""The public SDK, really installed: once, by the agent's own means, for all tests of this folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from synapse_agent.runner.environments.interpreters import Interpreters
from synapse_agent.runner.local import LocalRunner

PYTHON = ">=3.12,<3.13"
"""What both the SDK and the plugins that its templates make run on."""


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """Return a Python that the SDK supports; without one, skip these tests."""

    async def find() -> list[Path]:
        return [python.path async for python in Interpreters().fitting(PYTHON)]

    found = asyncio.run(find())
    if not found:
        pytest.skip(f"the public synapse-sdk needs a Python {PYTHON}, and this machine has none")
    return found[0]


@pytest.fixture(scope="session")
def sdk_environ() -> dict[str, str]:
    """Return environment variables with which uv installs the same release of the SDK every day."""
    return {**os.environ, "UV_CONSTRAINT": str(Path(__file__).with_name("constraints.txt"))}


@pytest.fixture
async def sdk_runner(data_dir: Path, sdk_python: Path, sdk_environ: dict[str, str]) -> AsyncIterator[LocalRunner]:
    """Yield a runner whose plugins can have the SDK."""
    runner = LocalRunner(data_dir, pythons=[sdk_python], environ=sdk_environ)
    yield runner
    await runner.close()


@pytest.fixture
async def any_sdk_runner(data_dir: Path, sdk_python: Path) -> AsyncIterator[LocalRunner]:
    """Yield a runner whose plugins choose the release of the SDK themselves."""
    runner = LocalRunner(data_dir, pythons=[sdk_python])
    yield runner
    await runner.close()
