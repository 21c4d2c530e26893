"""The Pythons of this machine that an environment can be made with."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from synapse_agent.runner.worker_env import worker_env

_OLDEST = SpecifierSet(">=3.8")
_NAME = re.compile(r"python(3(\.\d+)?)?")
_PROBE = "import sys, ctypes; print('%d.%d.%d' % sys.version_info[:3])"
_PROBE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that starts, by its absolute path, links resolved."""

    path: Path
    version: str


class Interpreters:
    """Finds Pythons: those it is given, the agent's own, then those of PATH and pyenv, the newest first."""

    def __init__(self, pythons: Iterable[Path] = (), *, environ: Mapping[str, str] = os.environ) -> None:
        self._given = tuple(pythons)
        self._environ = environ
        self._probes: dict[Path, asyncio.Task[Interpreter | None]] = {}

    async def fitting(self, requires_python: str | None) -> AsyncIterator[Interpreter]:
        """Give the Pythons that fit a version specifier, the preferred first; each is started once to learn its own."""
        wanted = SpecifierSet(requires_python or "")
        for path in self._candidates:
            interpreter = await self._learn(path)
            if interpreter is not None and wanted.contains(interpreter.version, prereleases=True):
                yield interpreter

    async def all(self) -> list[Interpreter]:
        """List every Python that can be used."""
        return [interpreter async for interpreter in self.fitting(None)]

    @cached_property
    def _candidates(self) -> list[Path]:
        own = Path(getattr(sys, "_base_executable", None) or sys.executable)
        found = sorted(set(_on_path(self._environ)) | set(_in_pyenv(self._environ)), key=_likely_version, reverse=True)
        resolved = (path.resolve() for path in (*self._given, own, *found))
        return list(dict.fromkeys(path for path in resolved if _is_program(path)))

    async def _learn(self, path: Path) -> Interpreter | None:
        """Start a Python to learn its version, once however many ask and whoever goes away meanwhile."""
        probe = self._probes.get(path)
        if probe is None:
            asking = asyncio.to_thread(_probe, path, worker_env(self._environ))
            probe = self._probes[path] = asyncio.create_task(asking)
        return await asyncio.shield(probe)


def _on_path(environ: Mapping[str, str]) -> Iterator[Path]:
    for folder in environ.get("PATH", "").split(os.pathsep):
        if Path(folder).is_absolute():
            yield from _pythons_in(Path(folder))


def _in_pyenv(environ: Mapping[str, str]) -> Iterator[Path]:
    root = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/"), ".pyenv"))
    for folder in root.glob("versions/*/bin"):
        yield from _pythons_in(folder)


def _pythons_in(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from (path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def _is_program(path: Path) -> bool:
    """Whether this can be a Python: a script of that name is a shim of pyenv or the like."""
    try:
        with path.open("rb") as file:
            return file.read(2) != b"#!" and os.access(path, os.X_OK)
    except OSError:
        return False


def _likely_version(path: Path) -> tuple[int, int]:
    """Guess from the path, as starting them all takes long."""
    match = re.search(r"3\.(\d+)(?:\.(\d+))?", str(path.resolve()))
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)


def _probe(path: Path, env: Mapping[str, str]) -> Interpreter | None:
    command = [str(path), "-I", "-c", _PROBE]
    try:
        answer = subprocess.run(command, capture_output=True, check=True, timeout=_PROBE_SECONDS, env=dict(env))
    except (OSError, subprocess.SubprocessError):
        return None
    version = answer.stdout.decode().strip()
    return Interpreter(path, version) if Version(version) in _OLDEST else None
