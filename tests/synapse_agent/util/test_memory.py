"""How much memory there is to use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from synapse_agent.util.memory import usable_memory

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, MACHINE),
        ({"memory.max": "max"}, MACHINE),
        ({"memory.max": "1048576"}, 1048576),
        ({"memory/memory.limit_in_bytes": "2097152"}, 2097152),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, MACHINE),
    ],
)
def test_a_container_s_limit_counts(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    """The machine's memory, or less."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_memory(tmp_path) == expected
