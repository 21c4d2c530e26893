"""The hint about the duration of a run's imports."""

from __future__ import annotations

import pytest

from synapse_agent.runner.processes.import_report import ImportReport
from synapse_agent.runner.processes.timings import import_hint

MODULES = {"numpy": 0.1, "sklearn.svm": 0.5, "sklearn": 0.5, "pandas": 0.3, "unknown": 0.01}


def hint(modules: dict[str, float], *, seconds: float = 1.5, running: float = 2.0, preload: object = None) -> str:
    return import_hint(ImportReport(seconds, sum(modules.values()), modules), running=running, preload=preload) or ""  # type: ignore[arg-type]


def test_the_slowest_packages_are_named() -> None:
    """A package's time includes all of its modules."""
    expected = "Imports took 1.50 s of the 2.00 s of the run: sklearn 1.00 s, pandas 0.30 s, numpy 0.10 s. "
    assert hint(MODULES).startswith(expected)
    assert "the plugin's own modules" in hint({})


@pytest.mark.parametrize(
    ("modules", "preload", "cure"),
    [
        (MODULES, None, "For the next runs"),
        ({"numpy": 0.6, "unknown": 0.9}, None, "`preload: true` in config.yaml"),
        (MODULES, False, "`preload: true` in config.yaml"),
        ({}, None, "`preload: true` in config.yaml"),
        ({"numpy": 1.0, "asyncio": 0.1}, None, "For the next runs"),
        ({"numpy": 0.4}, None, "`preload: true` in config.yaml"),
        ({"numpy": 1.0}, False, "`preload: true` in config.yaml"),
        (MODULES, True, "the log of the first run"),
        (MODULES, ("numpy",), "the log of the first run"),
    ],
)
def test_what_to_do_depends_on_what_the_plugin_asked_for(modules: dict[str, float], preload: object, cure: str) -> None:
    """A setting that is already in use is not proposed."""
    assert cure in hint(modules, preload=preload)


@pytest.mark.parametrize(("seconds", "running"), [(0.05, 0.06), (0.9, 2.0), (0.0, 0.0)])
def test_short_imports_are_not_worth_a_word(seconds: float, running: float) -> None:
    """Imports that took less than half of the run are not mentioned."""
    assert hint(MODULES, seconds=seconds, running=running) == ""
