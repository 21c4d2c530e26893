"""How a run's time was spent, and advice if imports took most of it."""

from __future__ import annotations

from collections.abc import Mapping

from synapse_agent.runner.processes import fork_safe
from synapse_agent.runner.processes.import_report import ImportReport

_WORTH_SECONDS = 0.1
_MOST_NAMES = 3


def import_hint(report: ImportReport, *, running: float, preload: tuple[str, ...] | bool | None) -> str | None:
    """Name the slowest imports, with advice; return None if imports took less than half of the run.

    `running` are the seconds from the start of the run's process to its end, `preload` is the plugin's setting.
    """
    if report.seconds < max(_WORTH_SECONDS, running / 2):
        return None
    slowest = sorted(_by_package(report.modules).items(), key=lambda item: -item[1])[:_MOST_NAMES]
    named = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in slowest) or "the plugin's own modules"
    return f"Imports took {report.seconds:.2f} s of the {running:.2f} s of the run: {named}. {_cure(report, preload)}"


def _cure(report: ImportReport, preload: tuple[str, ...] | bool | None) -> str:
    if preload is None and min(report.installed, _known_seconds(report.modules)) >= report.seconds / 2:
        return "For the next runs, the agent imports them once."
    if preload:
        return "`preload` did not cover them, or failed: the log of the first run has the reason."
    return "With `preload: true` in config.yaml, the agent imports them once instead of in each run."


def _by_package(modules: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, seconds in modules.items():
        top = name.partition(".")[0]
        found[top] = found.get(top, 0.0) + seconds
    return found


def _known_seconds(modules: Mapping[str, float]) -> float:
    """Return the seconds of the modules that the agent imports ahead without being asked."""
    known = fork_safe.PACKAGES | fork_safe.LIBRARY
    return sum(seconds for name, seconds in modules.items() if name.partition(".")[0] in known)
