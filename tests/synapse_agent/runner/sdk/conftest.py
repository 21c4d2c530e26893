"""The public SDK, which the agent installs once for all tests of this folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from synapse_agent.runner.environments.interpreters import Interpreters
from synapse_agent.runner.local import LocalRunner

PYTHON = ">=3.12,<3.13"
"""The Pythons that both the SDK and the plugins from its templates support."""


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """Return a Python that the SDK supports; without one, skip these tests."""

    async def find() -> list[Path]:
        return [python.path async for python in Interpreters().fitting(PYTHON)]

    found = asyncio.run(find())
    if not found:
        pytest.skip(f"the public synapse-sdk needs Python {PYTHON}, which was not found")
    return found[0]


@pytest.fixture(scope="session")
def sdk_environ() -> dict[str, str]:
    """Return variables that make uv always install the same release of the SDK."""
    return {**os.environ, "UV_CONSTRAINT": str(Path(__file__).with_name("constraints.txt"))}


@pytest.fixture
async def sdk_runner(data_dir: Path, sdk_python: Path, sdk_environ: dict[str, str]) -> AsyncIterator[LocalRunner]:
    """Yield a runner whose plugins can require the SDK."""
    runner = LocalRunner(data_dir, pythons=[sdk_python], environ=sdk_environ)
    yield runner
    await runner.close()


@pytest.fixture
async def any_sdk_runner(data_dir: Path, sdk_python: Path) -> AsyncIterator[LocalRunner]:
    """Yield a runner whose plugins choose the release of the SDK themselves."""
    runner = LocalRunner(data_dir, pythons=[sdk_python])
    yield runner
    await runner.close()
