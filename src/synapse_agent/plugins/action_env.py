"""The environment variables that the operator provides to actions."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from synapse_agent.errors import StartError, UsageError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class ActionEnv:
    """Values by name, for all plugins and for single ones; no value is ever shown."""

    shared: Mapping[str, str] = field(default_factory=dict, repr=False)
    by_plugin: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, entries: Iterable[str], files: Iterable[Path], *, environ: Mapping[str, str]) -> ActionEnv:
        """Read entries of the form `[CODE:]NAME[=VALUE]`, and files of such lines; `environ` has omitted values.

        Raises `UsageError` for an invalid entry, and `StartError` for an unreadable or unprotected file.
        """
        shared: dict[str, str] = {}
        by_plugin: dict[str, dict[str, str]] = {}
        lines = [line for file in files for line in _lines(file)]
        for source, text in [*lines, *(("--action-env", entry) for entry in entries)]:
            code, name, value = _parsed(text, source, environ)
            (by_plugin.setdefault(code, {}) if code else shared)[name] = value
        return cls(shared, by_plugin)

    def for_run(self, code: str, *, is_debug: bool) -> dict[str, str]:
        """Return the variables of a run. A debug run, which may have any plugin's code, gets those for all plugins."""
        return {**self.shared, **({} if is_debug else self.by_plugin.get(code, {}))}


NO_ENV = ActionEnv()


def _lines(file: Path) -> list[tuple[str, str]]:
    try:
        if stat.S_IMODE(file.stat().st_mode) & _OTHERS:
            raise StartError(f"--action-env-file {file} can be read by others. Protect it: chmod 600 {file}")
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"--action-env-file {file} cannot be read: {error}") from error
    numbered = [(f"{file}, line {number}", line.strip()) for number, line in enumerate(lines, start=1)]
    return [(source, line) for source, line in numbered if line and not line.startswith("#")]


def _parsed(text: str, source: str, environ: Mapping[str, str]) -> tuple[str, str, str]:
    """Parse one entry; an error shows its name, never its value."""
    whole, equals, value = text.partition("=")
    code, _, name = whole.rpartition(":")
    if not _NAME.fullmatch(name) or "\0" in value:
        raise UsageError(f"{source}: {whole!r} is not of the form [CODE:]NAME[=VALUE], such as HF_TOKEN=….")
    if equals:
        return code, name, value
    if name not in environ:
        raise UsageError(f"{source}: the agent's own environment has no {name}. Set it, or add =VALUE.")
    return code, name, environ[name]
