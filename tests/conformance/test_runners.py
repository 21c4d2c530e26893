"""Every module that starts an agent tests all runners."""

from __future__ import annotations

from pathlib import Path

from .conftest import ON_ONE_RUNNER

HERE = Path(__file__).parent


def test_what_starts_an_agent_does_so_on_every_runner() -> None:
    """`ON_ONE_RUNNER` lists the exceptions, with the reason."""
    starting = {path.name: path.read_text() for path in HERE.glob("test_*.py") if "EmbeddedAgent(" in path.read_text()}
    starting.pop(Path(__file__).name)
    left_out = {name for name, text in starting.items() if "runner_settings" not in text}
    assert left_out == ON_ONE_RUNNER.keys()
