"""Where an agent gets its plugins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from synapse_agent.plugins.archives import archived_config, unpack
from synapse_agent.plugins.config import CONFIG_FILE, PluginConfig
from synapse_agent.problems import Problem, quoted
from synapse_agent.storage.trees import TreeError, TreeLimits, copy_tree
from synapse_agent.util.threads import in_thread

ARCHIVE_SUFFIX = ".zip"
MAX_LISTED = 10


class PluginSource(Protocol):
    """Gives plugins by code and version."""

    async def fetch(self, *, plugin: str, version: str, into: Path) -> None:
        """Put the plugin's files into `into`, a folder that is not there yet.

        Raises `Problem`: 404 `release_not_found`, 422 where what is there is no plugin, 502 where the source fails.
        However it ends, cancelled or not, nothing of it goes on afterwards, and all that it leaves is `into`.
        """


@dataclass(frozen=True, slots=True)
class _Found:
    """Something in a directory that is, or should be, a plugin."""

    path: Path
    config: PluginConfig | None = None
    problem: Problem | None = None

    def is_release(self, plugin: str, version: str) -> bool:
        return self.config is not None and (self.config.code, self.config.version) == (plugin, version)

    def is_named(self, plugin: str, version: str) -> bool:
        """Tell whether something broken looks like a plugin, going by the name of its file or folder alone."""
        stem = self.path.name.removesuffix(ARCHIVE_SUFFIX)
        return stem in (plugin, f"{plugin}@{version}", f"{plugin}-{version}", f"{plugin}_{version}")


class DirectorySource:
    """Plugin folders and zip archives in a directory, read anew for every fetch; or a single plugin's folder."""

    def __init__(self, folder: Path, *, limits: TreeLimits | None = None) -> None:
        self._folder = folder
        self._limits = limits or TreeLimits()

    async def fetch(self, *, plugin: str, version: str, into: Path) -> None:
        """Copy or unpack the plugin whose `config.yaml` has this code and version."""
        await in_thread(self._take, plugin, version, into)

    def _take(self, plugin: str, version: str, into: Path) -> None:
        path = _choose(list(self._plugins()), plugin, version)
        try:
            take = copy_tree if path.is_dir() else unpack
            take(path, into, limits=self._limits)
        except TreeError as error:
            raise _refusal(path, error) from error

    def _plugins(self) -> Iterator[_Found]:
        if (self._folder / CONFIG_FILE).exists():
            yield _look_at(self._folder, self._limits)
            return
        try:
            paths = sorted(self._folder.iterdir())
        except OSError as error:
            message = f"The plugins folder {self._folder} cannot be read: {error.strerror}."
            raise Problem(502, "backend_error", message) from error
        yield from (_look_at(path, self._limits) for path in paths if _may_be_plugin(path))


class SourceChain:
    """Several sources, asked in order; the first that has a plugin gives it."""

    def __init__(self, sources: Sequence[PluginSource]) -> None:
        self._sources = sources

    async def fetch(self, *, plugin: str, version: str, into: Path) -> None:
        """Fetch from the first source that does not answer 404."""
        missing: list[str] = []
        for source in self._sources:
            try:
                return await source.fetch(plugin=plugin, version=version, into=into)
            except Problem as problem:
                if problem.status != 404:
                    raise
                missing.append(problem.message)
        raise Problem(404, "release_not_found", " ".join(missing)) if missing else _not_found([], plugin, version)


def _may_be_plugin(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return path.is_dir() or (path.suffix == ARCHIVE_SUFFIX and path.is_file())


def _look_at(path: Path, limits: TreeLimits) -> _Found:
    try:
        if path.is_dir():
            return _Found(path, PluginConfig.read(path))
        with archived_config(path, limits=limits) as folder:
            return _Found(path, PluginConfig.read(folder))
    except TreeError as error:
        return _Found(path, problem=_refusal(path, error))
    except Problem as problem:
        message = f"{path.name}: {problem.message}"
        return _Found(path, problem=Problem(problem.status, problem.error_type, message, **problem.extra))


def _choose(found: Sequence[_Found], plugin: str, version: str) -> Path:
    matching = [entry.path for entry in found if entry.is_release(plugin, version)]
    if len(matching) > 1:
        names = ", ".join(path.name for path in matching)
        message = f"{plugin}@{version} is there more than once: {names}. Each of them claims that code and version."
        raise Problem(422, "ambiguous_release", message)
    if matching:
        return matching[0]
    for entry in found:
        if entry.problem and entry.is_named(plugin, version):
            raise entry.problem
    raise _not_found(found, plugin, version)


def _not_found(found: Sequence[_Found], plugin: str, version: str) -> Problem:
    versions = sorted(entry.config.version for entry in found if entry.config and entry.config.code == plugin)
    codes = sorted({entry.config.code for entry in found if entry.config})
    there = f"there is version {_listed(versions)}" if versions else f"the plugins there are: {_listed(codes)}"
    broken = [entry.path.name for entry in found if entry.problem]
    unread = f" Not readable as plugins: {_listed(broken)}." if broken else ""
    message = f"There is no {quoted(f'{plugin}@{version}')} to be had; {there}.{unread}"
    return Problem(404, "release_not_found", message)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more or "none"


def _refusal(path: Path, error: TreeError) -> Problem:
    kind = "invalid_plugin" if path.is_dir() else "invalid_archive"
    return Problem(422, kind, f"{path.name}: {error}.")
