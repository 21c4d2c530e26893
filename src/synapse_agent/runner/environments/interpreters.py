"""The Pythons of this machine for environments."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeGuard

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from synapse_agent.runner.processes.environ import worker_env
from synapse_agent.runner.processes.outcomes import lacks_resources

logger = logging.getLogger(__name__)

_OLDEST = SpecifierSet(">=3.8")
_NAME = re.compile(r"python(3(\.\d+)?)?")
_PROBE = "import sys, ctypes; print('\\nsynapse: %d.%d.%d' % sys.version_info[:3])"
_ANSWER = re.compile(rb"^synapse: (\d+\.\d+\.\d+)\r?$", re.MULTILINE)
"""A `sitecustomize` may print something before and after it."""
_PROBE_SECONDS = 20.0
_ANSWER_BYTES = 2**20
"""Output above which a program is not a Python."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that works, by its absolute path with links resolved."""

    path: Path
    version: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A file that may be a Python; another file in its place is another candidate."""

    path: Path
    inode: int
    modified: int


_started: dict[tuple[_Candidate, frozenset[tuple[str, str]]], Interpreter] = {}
"""The Pythons that this process has started, with their variables: its next agent need not start them again."""


class Interpreters:
    """Finds Pythons: the preferred ones, the agent's own, then those of PATH and pyenv, the newest first."""

    def __init__(self, pythons: Iterable[Path] = (), *, environ: Mapping[str, str] = os.environ) -> None:
        self._given = tuple(pythons)
        self._environ = environ
        self._candidates: list[_Candidate] = []
        self._probes: dict[_Candidate, asyncio.Task[Interpreter | None]] = {}
        self._looking: asyncio.Future[list[_Candidate]] | None = None

    def known(self, requires_python: str | None) -> Iterator[Interpreter]:
        """Return the Pythons as `fitting` would, up to the first one whose version is not known yet."""
        for candidate in self._candidates:
            probe = self._probes.get(candidate)
            if probe is None or not probe.done() or probe.exception() is not None:
                return
            if _fits(interpreter := probe.result(), requires_python):
                yield interpreter

    async def fitting(self, requires_python: str | None) -> AsyncIterator[Interpreter]:
        """Yield the Pythons that match a specifier, the preferred first; each is started once to find its version."""
        if not self._candidates:
            await self.look_again()
        for candidate in self._candidates:
            if _fits(interpreter := await self._learn(candidate), requires_python):
                yield interpreter

    async def all(self) -> list[Interpreter]:
        """List every usable Python."""
        return [interpreter async for interpreter in self.fitting(None)]

    async def look_again(self) -> None:
        """Find the current Pythons, some of which may have been added, removed or replaced."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(asyncio.to_thread(self._find))
        self._candidates = await asyncio.shield(self._looking)
        self._probes = {candidate: probe for candidate, probe in self._probes.items() if candidate in self._candidates}

    def _find(self) -> list[_Candidate]:
        own = Path(getattr(sys, "_base_executable", None) or sys.executable)
        found = {path.resolve() for path in (*_on_path(self._environ), *_in_pyenv(self._environ))}
        given = [path.resolve() for path in (*self._given, own)]
        paths = dict.fromkeys([*given, *sorted(found, key=_likely_version, reverse=True)])
        return [candidate for path in paths if (candidate := _candidate(path)) is not None]

    async def _learn(self, candidate: _Candidate) -> Interpreter | None:
        """Start a Python to find its version, once for all callers, even if some of them are canceled.

        If it could not start for lack of resources, the next call tries again.
        """
        probe = self._probes.get(candidate)
        if probe is None or (probe.done() and probe.exception() is not None):
            asking = asyncio.to_thread(_probed, candidate, worker_env(self._environ))
            probe = self._probes[candidate] = asyncio.create_task(asking)
        return await asyncio.shield(probe)


def _fits(interpreter: Interpreter | None, requires_python: str | None) -> TypeGuard[Interpreter]:
    return interpreter is not None and _allows(requires_python or "", interpreter.version)


@lru_cache(maxsize=1024)
def _allows(specifier: str, version: str) -> bool:
    return SpecifierSet(specifier).contains(version, prereleases=True)


def _on_path(environ: Mapping[str, str]) -> Iterator[Path]:
    for folder in environ.get("PATH", "").split(os.pathsep):
        if Path(folder).is_absolute():
            yield from _pythons_in(Path(folder))


def _in_pyenv(environ: Mapping[str, str]) -> Iterator[Path]:
    root = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/"), ".pyenv"))
    with _others_left_out():  # an inherited variable may name another user's folder
        for folder in root.glob("versions/*/bin"):
            yield from _pythons_in(folder)


def _pythons_in(folder: Path) -> Iterator[Path]:
    with _others_left_out(), os.scandir(folder) as entries:
        yield from (Path(entry.path) for entry in entries if _NAME.fullmatch(entry.name))


def _candidate(path: Path) -> _Candidate | None:
    """Return a file that can be a Python; a script of that name is a shim, such as pyenv's."""
    with _others_left_out():
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and os.access(path, os.X_OK) and not _is_script(path):
            return _Candidate(path, status.st_ino, status.st_mtime_ns)
    return None


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


@contextmanager
def _others_left_out() -> Iterator[None]:
    """Skip what can't be read, unless that is for lack of resources."""
    try:
        yield
    except OSError as error:
        if lacks_resources(error):
            raise


def _likely_version(path: Path) -> tuple[int, int, Path]:
    """Guess the version from the path, since starting all takes long."""
    match = re.search(r"3\.(\d+)(?:\.(\d+))?", str(path))
    return (int(match[1]), int(match[2] or 0), path) if match else (0, 0, path)


def _probed(candidate: _Candidate, env: Mapping[str, str]) -> Interpreter | None:
    known = candidate, frozenset(env.items())
    if known not in _started and (interpreter := _probe(candidate.path, env)) is not None:
        _started[known] = interpreter
    return _started.get(known)


def _probe(path: Path, env: Mapping[str, str]) -> Interpreter | None:
    command = [str(path), "-I", "-c", _PROBE]
    try:
        answer = _answer(command, env)
    except (OSError, subprocess.SubprocessError) as error:
        if lacks_resources(error):
            raise
        logger.info("Skipped %s: it can't be started as a Python: %s", path, error)
        return None
    version = _ANSWER.search(answer)
    if version is None:
        logger.warning("Skipped %s: it does not respond like a Python, but with %.100r", path, answer)
        return None
    found = Interpreter(path, version[1].decode())
    return found if Version(found.version) in _OLDEST else None


def _answer(command: list[str], env: Mapping[str, str]) -> bytes:
    """Return what a program prints, up to a limit; then it is killed, with what it has started."""
    limit = time.monotonic() + _PROBE_SECONDS
    process = subprocess.Popen(
        command,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        answer = _output(process, limit)
        status = process.wait(max(0.0, limit - time.monotonic()))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if status:
        raise subprocess.CalledProcessError(status, command)
    return answer


def _output(process: subprocess.Popen[bytes], limit: float) -> bytes:
    assert process.stdout
    with process.stdout:
        readable = select.poll()
        readable.register(process.stdout)
        answer = b""
        while readable.poll(max(0.0, limit - time.monotonic()) * 1000):
            part = os.read(process.stdout.fileno(), 2**16)
            answer += part
            if not part or len(answer) > _ANSWER_BYTES:
                return answer
    raise subprocess.TimeoutExpired(process.args, _PROBE_SECONDS)
