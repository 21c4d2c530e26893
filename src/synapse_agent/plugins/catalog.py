"""The content of a plugins folder: which file or folder is which release."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from synapse_agent.plugins.archives import ARCHIVE_SUFFIX, archived_config
from synapse_agent.plugins.config import CONFIG_FILE, PluginConfig
from synapse_agent.problems import Problem, quoted
from synapse_agent.storage.trees import UNSETTLED_NS, TreeError, TreeLimits

MAX_LISTED = 10
CHECKED_SECONDS = 0.1
"""How long a check of all plugins stays valid."""

_Stamp = tuple[int, int, int, int, int]


class Candidate(NamedTuple):
    """A file or folder that may be a plugin, by its name."""

    path: str
    is_folder: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a plugins folder that is, or should be, a plugin."""

    path: Path
    code: str | None = None
    version: str | None = None
    problem: Problem | None = None

    def is_release(self, plugin: str, version: str) -> bool:
        """Return whether its config names this release."""
        return (self.code, self.version) == (plugin, version)


class Catalog:
    """The plugins of a folder, which may be a plugin itself; each is read again only if it has changed."""

    def __init__(self, folder: Path, *, limits: TreeLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._known: dict[Candidate, tuple[_Stamp, Entry]] = {}
        self._undescribed: list[Candidate] = []
        """Entries that had no configuration when they were read."""
        self._listed: set[str] | None = None
        """The names in the folder when all of them had been checked."""
        self._checked = -CHECKED_SECONDS
        self._lock = threading.Lock()
        self.is_being_read = False
        """Whether `learn` is still being called; meanwhile, a release found by its name counts as the only one."""

    def find(self, plugin: str, version: str) -> Path:
        """Return the path of a release that exists now; raises `Problem` like `choose` and `candidates`.

        New and changed plugins are read, so that several plugins for the same release are noticed. The others cost a
        `stat` each, 3 ms for a thousand, at most every `CHECKED_SECONDS`; those of the release are always checked.
        """
        with self._lock:
            found = self._unchanged(plugin, version) or self._look(self._names(), plugin, version)
        return choose(found, plugin, version)

    def versions(self, plugin: str) -> list[str]:
        """Return the versions of the plugins with this code; raises `Problem` like `find` if no plugin has it."""
        with self._lock:
            found = self._look(self._names(), plugin, "")
        versions = sorted({entry.version for entry in found if entry.version and entry.code == plugin})
        if not versions:
            raise missing(found, plugin)
        return versions

    def candidates(self) -> list[Candidate]:
        """List possible plugins; raise `Problem` 502 `backend_error` if the folder can't be read."""
        if (self._folder / CONFIG_FILE).exists():
            return [Candidate(str(self._folder), is_folder=True)]
        try:
            with os.scandir(self._folder) as entries:
                return [candidate for entry in entries if (candidate := _candidate(entry)) is not None]
        except OSError as error:
            message = f"The plugins folder {self._folder} cannot be read: {error.strerror}."
            raise Problem(502, "backend_error", message) from error

    def learn(self, candidates: Sequence[Candidate]) -> list[Entry]:
        """Read some plugins ahead of the first request."""
        with self._lock:
            return [self._read(candidate, self._known) for candidate in candidates]

    def _names(self) -> set[str] | None:
        """Return all names in the folder, which takes a third of the time for checking the files."""
        try:
            return set(os.listdir(self._folder))  # noqa: PTH208 - names, not thousands of `Path`
        except OSError:
            return None

    def _unchanged(self, plugin: str, version: str) -> list[Entry]:
        """Return those known to be the release; none if they, or anything else that was checked, have changed."""
        claims = {each: known for each, known in self._known.items() if known[1].is_release(plugin, version)}
        if any(_stamp(candidate) != stamp for candidate, (stamp, _) in claims.items()):
            return []
        if time.monotonic() - self._checked >= CHECKED_SECONDS:
            if not self._is_as_checked():
                return []
            self._checked = time.monotonic()
        return [entry for _, entry in claims.values()]

    def _is_as_checked(self) -> bool:
        return (
            self._listed is not None
            and self._names() == self._listed
            and all(_stamp(candidate) == stamp for candidate, (stamp, _) in self._known.items())
            and all(_stamp(candidate) is None for candidate in self._undescribed)
        )

    def _look(self, names: set[str] | None, plugin: str, version: str) -> list[Entry]:
        """Check the entries named like the release, and the others unless they are just being read ahead."""
        candidates = self.candidates()
        named = [candidate for candidate in candidates if _is_named(candidate.path, plugin, version)]
        if self.is_being_read:
            found = [self._read(candidate, self._known) for candidate in named]
            if any(entry.is_release(plugin, version) for entry in found):
                return found
        known: dict[Candidate, tuple[_Stamp, Entry]] = {}
        found = [self._read(candidate, known) for candidate in candidates]
        self._known = known
        self._undescribed = [candidate for candidate in candidates if candidate not in known]
        is_complete = all(
            entry.problem or candidate in known for candidate, entry in zip(candidates, found, strict=True)
        )
        self._listed = names if is_complete else None
        return found

    def _read(self, candidate: Candidate, known: dict[Candidate, tuple[_Stamp, Entry]]) -> Entry:
        """Read a plugin if it has changed since it was last read, and remember it."""
        stamp = _stamp(candidate)
        before = self._known.get(candidate)
        if before is not None and before[0] == stamp:
            known[candidate] = before
            return before[1]
        is_settled = stamp is not None and time.time_ns() - max(stamp[:2]) > UNSETTLED_NS
        entry = _read(candidate, self._limits)
        if stamp is not None and is_settled:
            known[candidate] = (stamp, entry)
        return entry


def choose(found: Sequence[Entry], plugin: str, version: str) -> Path:
    """Return the path of a release.

    Raises `Problem`: 404 `release_not_found`; 422 `ambiguous_release` if several plugins are this release, not counting
    other names for one folder, or the fault of the plugin named like it.
    """
    matching = sorted(entry.path for entry in found if entry.is_release(plugin, version))
    by_place = {os.path.realpath(path): path for path in matching}
    if len(by_place) > 1:
        names = ", ".join(path.name for path in matching)
        message = f"{plugin}@{version} is ambiguous: {names} have this code and version."
        raise Problem(422, "ambiguous_release", message)
    if matching:
        return matching[0]
    raise missing(found, plugin, version)


def missing(found: Sequence[Entry], plugin: str, version: str | None = None) -> Problem:
    """Return the fault of the entry that is named like a release, or else the problem of a missing release."""
    for entry in sorted(found, key=lambda each: each.path):
        if entry.problem and _is_named(entry.path.name, plugin, version or ""):
            return entry.problem
    return not_found(found, plugin, version)


def not_found(found: Sequence[Entry], plugin: str, version: str | None) -> Problem:
    """Return the problem of a missing release; it lists the available versions or plugins."""
    versions = sorted(entry.version for entry in found if entry.version and entry.code == plugin)
    codes = sorted({entry.code for entry in found if entry.code})
    there = f"Available: {listed(versions)}" if versions else f"Available plugins: {listed(codes)}"
    broken = sorted(entry.path.name for entry in found if entry.problem)
    unread = f" Invalid plugins: {listed(broken)}." if broken else ""
    message = f"{quoted(plugin if version is None else f'{plugin}@{version}')} was not found. {there}.{unread}"
    return Problem(404, "release_not_found", message)


def refusal(path: Path, error: TreeError) -> Problem:
    """Return the problem of an invalid plugin."""
    kind = "invalid_plugin" if path.is_dir() else "invalid_archive"
    return Problem(422, kind, f"{path.name}: {error}.")


def is_archive(name: str) -> bool:
    """Return whether a file with this name should be a zip archive."""
    return name.lower().endswith(ARCHIVE_SUFFIX)


def _is_named(path: str, plugin: str, version: str) -> bool:
    """Return whether a file or folder looks like a plugin, judged by its name."""
    name = path.rpartition("/")[2]
    stem = name[: -len(ARCHIVE_SUFFIX)] if is_archive(name) else name
    return stem in (plugin, f"{plugin}@{version}", f"{plugin}-{version}", f"{plugin}_{version}")


def _candidate(entry: os.DirEntry[str]) -> Candidate | None:
    if entry.name.startswith("."):
        return None
    try:
        if entry.is_dir():
            return Candidate(entry.path, is_folder=True)
        return Candidate(entry.path, is_folder=False) if is_archive(entry.name) and entry.is_file() else None
    except OSError:  # a link to something that this user can't access
        return None


def _stamp(candidate: Candidate) -> _Stamp | None:
    """Return a state that changes with a plugin's own description; None without one."""
    try:
        # As text, in a third of the time of a `Path`; there may be thousands.
        status = os.stat(f"{candidate.path}/{CONFIG_FILE}" if candidate.is_folder else candidate.path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev


def _read(candidate: Candidate, limits: TreeLimits) -> Entry:
    path = Path(candidate.path)
    try:
        if candidate.is_folder:
            config = PluginConfig.read(path)
        else:
            config = PluginConfig.from_yaml(archived_config(path, limits=limits))
    except TreeError as error:
        return Entry(path, problem=refusal(path, error))
    except Problem as problem:
        message = f"{path.name}: {problem.message}"
        return Entry(path, problem=Problem(problem.status, problem.error_type, message, **problem.extra))
    return Entry(path, config.code, config.version)


def listed(names: Sequence[str]) -> str:
    """Return names for a message, only the first ones of many."""
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more or "none"
