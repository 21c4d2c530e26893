"""The imports of a release's runs, so that the agent imports them ahead for the next ones."""

from __future__ import annotations

import hashlib
import json
import logging
from functools import lru_cache
from pathlib import Path

from synapse_agent.runner.processes import fork_safe
from synapse_agent.runner.processes.import_report import ImportReport
from synapse_agent.storage.atomic_write import write_atomically

logger = logging.getLogger(__name__)

WORTH_SECONDS = 0.02
"""If imports of installed packages take less than this together, each run does them itself."""
LIBRARY_WORTH_SECONDS = 0.005
"""The same for modules of the standard library, which take hardly any memory in a zygote."""
_MOST = 100


class SeenImports:
    """Remembers the modules of each release in each environment, across restarts too."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._known: dict[str, tuple[str, ...]] = {}

    def modules(self, plugin: Path, environment: Path) -> tuple[str, ...]:
        """Return what to import ahead for the runs of a plugin's folder in an environment."""
        name = _name(plugin, environment)
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def add(self, plugin: Path, environment: Path, report: ImportReport) -> None:
        """Record a run's report. It may be forged: only listed and installed modules are accepted."""
        installed = [name for name in report.modules if _is_installed(name, environment)]
        library = [name for name in report.modules if _top(name) in fork_safe.LIBRARY]
        found = {*_worth(report, installed, WORTH_SECONDS), *_worth(report, library, LIBRARY_WORTH_SECONDS)}
        known = self.modules(plugin, environment)
        if found <= set(known) or len(known) >= _MOST:
            return
        name = _name(plugin, environment)
        self._known[name] = tuple(sorted({*known, *found}))[:_MOST]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)  # it may have been removed
            write_atomically(self._folder / name, json.dumps(self._known[name]).encode())
        except OSError as error:
            logger.info("The imports of runs are not remembered across a restart: %s", error)

    def forget(self, folder: Path) -> None:
        """Forget a removed plugin folder or environment."""
        for name in [each for each in self._known if _part(folder) in each.split("-")]:
            del self._known[name]
        for path in (*self._folder.glob(f"{_part(folder)}-*"), *self._folder.glob(f"*-{_part(folder)}")):
            path.unlink(missing_ok=True)

    def _read(self, name: str) -> tuple[str, ...]:
        try:
            found = json.loads((self._folder / name).read_bytes())
        except (OSError, ValueError):
            return ()
        return tuple(found) if isinstance(found, list) and all(isinstance(each, str) for each in found) else ()


def _worth(report: ImportReport, names: list[str], least: float) -> list[str]:
    return names if sum(report.modules[name] for name in names) > least else []


def _is_installed(name: str, environment: Path) -> bool:
    """Return whether a module belongs to a listed package that the environment has."""
    top = _top(name)
    if top not in fork_safe.PACKAGES:
        return False
    packages = next(environment.glob("lib/python*/site-packages"), None)
    return packages is not None and (packages / top).is_dir()


def _top(name: str) -> str:
    return name.partition(".")[0]


def _name(plugin: Path, environment: Path) -> str:
    return f"{_part(plugin)}-{_part(environment)}"


@lru_cache(maxsize=1024)
def _part(folder: Path) -> str:
    return hashlib.sha256(bytes(folder)).hexdigest()[:16]
