"""Debug runs: a folder of source, with additional modules and a config merged into its own."""

from __future__ import annotations

import asyncio
import keyword
import os
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from synapse_agent.plugins.config import CONFIG_FILE, PluginConfig, merge_config, read_config, rename_hint
from synapse_agent.problems import Problem, quoted, renamed
from synapse_agent.settings import Settings
from synapse_agent.storage.disk import is_disk_full
from synapse_agent.storage.trees import MAX_DEPTH, TreeError, TreeLimits, copy_tree, remove_tree
from synapse_agent.util.threads import in_thread

DEFAULT_CODE = "debug"


@dataclass(frozen=True, slots=True)
class DebugRules:
    """The debug runs that an agent allows."""

    is_allowed: bool
    roots: tuple[Path, ...] | None
    """Folders that must contain `plugin_path`, links resolved; None for any."""
    limits: TreeLimits

    @classmethod
    def of(cls, settings: Settings) -> DebugRules:
        """Derive them from an agent's settings."""
        is_bound = bool(settings.debug_roots) or not settings.is_on_loopback
        roots = tuple(_resolved(root) for root in settings.debug_roots) if is_bound else None
        limits = TreeLimits(settings.max_plugin_files, settings.max_debug_size, size_option="--max-debug-size")
        return cls(settings.takes_debug_runs, roots, limits)

    def check(self) -> None:
        """Raise `Problem` 403 `debug_not_allowed` if all debug runs are refused."""
        if not self.is_allowed:
            raise _not_allowed("This agent does not allow debug runs. Its operator can allow them with --allow-debug.")

    def folder(self, text: str) -> Path:
        """Return the folder of a `plugin_path`, with links resolved if there are roots.

        Raises `Problem`: 403 `debug_not_allowed` outside of the roots, whether the path exists or not; 422
        `invalid_plugin_path` unless it is a folder.
        """
        folder = Path.cwd() / text
        if self.roots is not None:
            folder = _resolved(folder)
            if not any(folder.is_relative_to(root) for root in self.roots):
                where = "below one of the folders that this agent allows for debug runs (--debug-root)"
                raise _not_allowed(f"The plugin_path {quoted(text)} is not {where}.")
        return _checked(folder)


@dataclass(frozen=True, slots=True)
class DebugSource:
    """The source of a debug run, validated as far as possible without copying anything."""

    folder: Path | None
    modules: Mapping[str, str]
    config: PluginConfig

    @classmethod
    def from_request(cls, body: Mapping[str, Any], rules: DebugRules) -> DebugSource:
        """Validate `plugin_path`, `modules` and `config` of a request.

        Raises `Problem`: 403 `debug_not_allowed`; 422 `invalid_plugin_path`, `invalid_module`, `invalid_plugin`.
        """
        rules.check()
        folder = rules.folder(body["plugin_path"]) if "plugin_path" in body else None
        modules = body.get("modules", {})
        _check_modules(modules)
        return cls(folder, modules, _config(folder, body.get("config")))


class DebugWorkspace:
    """A scratch folder with a debug run's source, for the duration of the run."""

    def __init__(self, source: DebugSource, scratch: Path, *, limits: TreeLimits) -> None:
        self._source = source
        self._scratch = scratch
        self._limits = limits

    def claim(self) -> None:
        """Do nothing: the source is read at the run's turn."""

    async def prepare(self) -> Path:
        """Copy the folder and write the modules into it."""
        await in_thread(self._make)
        return self._scratch

    def as_known(self, problem: Problem) -> Problem:
        """Use the caller's file names: below `plugin_path`, or relative without one."""
        known = f"{self._source.folder}{os.sep}" if self._source.folder else ""
        hidden = f"{self._scratch}{os.sep}"
        return renamed(problem, hidden, known)

    async def release(self) -> None:
        """Remove the scratch folder."""
        await asyncio.to_thread(remove_tree, self._scratch)

    def _make(self) -> None:
        try:
            self._fill()
        except (Problem, OSError):
            remove_tree(self._scratch)  # at once: it may have filled the disk, and the failure must be recorded
            raise

    def _fill(self) -> None:
        if self._source.folder is None:
            self._scratch.mkdir(parents=True)
        else:
            _copy(self._source.folder, self._scratch, self._limits)
        for name, text in self._source.modules.items():
            _write_module(self._scratch, name, text, self._source.modules)


class LeftWorkspace:
    """The scratch folder of a debug run that an earlier agent started."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def claim(self) -> None:
        """Do nothing: no other run uses the folder."""

    async def prepare(self) -> Path:
        """Return the folder, as it is."""
        return self._scratch

    def as_known(self, problem: Problem) -> Problem:
        """Name files relative to the source."""
        return renamed(problem, f"{self._scratch}{os.sep}", "")

    async def release(self) -> None:
        """Remove the scratch folder."""
        await asyncio.to_thread(remove_tree, self._scratch)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL
        raise _invalid_path(path, f"cannot be looked up: {error}") from error


def _checked(folder: Path) -> Path:
    try:
        kind = folder.stat().st_mode
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise _invalid_path(folder, f"was not found on the agent's machine: {why}") from error
    if not stat.S_ISDIR(kind):
        raise _invalid_path(folder, "is not a folder")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise _invalid_path(folder, "is not readable for the agent")
    return folder


def _config(folder: Path | None, override: Mapping[str, Any] | None) -> PluginConfig:
    has_own = folder is not None and (folder / CONFIG_FILE).exists()
    if folder and not has_own and override is None:
        raise _invalid_path(
            folder, f"has no {CONFIG_FILE}: add one, or send `config`{rename_hint(folder)}", error_type="invalid_plugin"
        )
    if folder and has_own and not (folder / CONFIG_FILE).resolve().is_relative_to(folder.resolve()):
        raise _invalid_path(folder, f"cannot be used: its {CONFIG_FILE} is a link to a file outside of it")
    own = read_config(folder) if folder and has_own else {}
    defaults = {"code": folder.name if folder and folder.name else DEFAULT_CODE}
    return PluginConfig.from_mapping(merge_config(defaults, merge_config(own, override or {})))


def _copy(folder: Path, scratch: Path, limits: TreeLimits) -> None:
    try:
        copy_tree(folder, scratch, limits=limits)
    except TreeError as error:
        raise _invalid_path(folder, f"cannot be used: {error}") from error


def _check_modules(names: Iterable[str]) -> None:
    for name in names:
        parts = name.split(".")
        if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
            raise _invalid_module(name, "is not a module name such as 'my_plugin.processor'")
        if len(parts) > MAX_DEPTH:
            raise _invalid_module(name, f"has more than {MAX_DEPTH} parts")
        if parts[0] in sys.stdlib_module_names:
            raise _invalid_module(name, f"would hide the standard library's {parts[0]!r}; rename it")


def _write_module(root: Path, name: str, text: str, modules: Iterable[str]) -> None:
    try:
        _make_packages(root, PurePosixPath(*name.split(".")[:-1]))
        file = _module_file(root.joinpath(*name.split(".")), has_more=any(m.startswith(f"{name}.") for m in modules))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        if is_disk_full(error):
            raise
        raise _invalid_module(name, f"cannot be written: {error.strerror}") from error
    except UnicodeEncodeError as error:
        raise _invalid_module(name, "contains half of a surrogate pair, which a file can't") from error


def _module_file(path: Path, *, has_more: bool) -> Path:
    is_package = has_more or path.is_dir()
    return path / "__init__.py" if is_package else path.with_name(f"{path.name}.py")


def _make_packages(root: Path, package: PurePosixPath) -> None:
    """Turn every folder above a module into a package; a module file with that name becomes the package's code."""
    for folder in [root / parent for parent in reversed([package, *package.parents]) if parent.name]:
        folder.mkdir(exist_ok=True)
        initial, module = folder / "__init__.py", folder.with_name(f"{folder.name}.py")
        if initial.exists():
            continue
        if module.exists():
            module.rename(initial)
        else:
            initial.touch()


def _not_allowed(message: str) -> Problem:
    return Problem(403, "debug_not_allowed", message)


def _invalid_path(folder: Path, what: str, *, error_type: str = "invalid_plugin_path") -> Problem:
    return Problem(422, error_type, f"The plugin_path {quoted(str(folder))} {what}.")


def _invalid_module(name: str, what: str) -> Problem:
    return Problem(422, "invalid_module", f"The module {quoted(name)} {what}.", module=name[:200])
