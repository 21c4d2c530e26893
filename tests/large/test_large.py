"""The short form of `make large`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("large_files", Path(__file__).with_name("__main__.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
large = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = large  # dataclasses look their module up there
_SPEC.loader.exec_module(large)


def test_a_large_file_needs_little_memory_and_outlives_a_killed_agent(tmp_path: Path) -> None:
    """300 MB, with the agent killed half-way: both sides use far less memory, and at most two parts are sent twice."""
    measured = large.measure(300_000_000, tmp_path)
    assert measured.agent_peak < large.MOST_MEMORY
    assert measured.client_peak < large.MOST_MEMORY
    assert measured.sent_again <= 2 * 8 * 2**20
