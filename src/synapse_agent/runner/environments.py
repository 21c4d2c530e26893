"""Environments for plugins: made by uv, kept by what is in them, each made once however many ask."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from synapse_agent.problems import Problem
from synapse_agent.runner.installer import Installer, InstallFailed
from synapse_agent.runner.interpreters import Interpreter, Interpreters
from synapse_agent.runner.scratch import Scratch, remove_tree

Output = Callable[[bytes], None]

_REFUSES_PYTHON = re.compile(r"Python ?[<>=!~]|matching Python")
"""uv's words: `requires Python >=3.12`, `does not satisfy Python>=3.12`, `no wheels with a matching Python ABI tag`."""
_LOCK_PAUSE = 0.05
_SAID_CHARACTERS = 1000
"""What of the installer's words goes into the message; all of what is kept stands beside it."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment, complete."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"


class Environments:
    """The environments in one folder, which several agents can share."""

    def __init__(self, folder: Path, *, interpreters: Interpreters, installer: Installer, scratch: Scratch) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._interpreters = interpreters
        self._installer = installer
        self._scratch = scratch
        self._making: dict[str, _Making] = {}
        self._refused: set[str] = set()
        """Keys that can't be made, so that runs for which another Python was found don't try each time."""

    async def get(self, requirements: Iterable[str], *, requires_python: str | None, on_output: Output) -> Environment:
        """Give an environment that has these requirements, made now where there is none yet.

        Where a requirement refuses a Python, the next one that `requires_python` allows is tried. Raises `Problem` 422:
        `python_not_found`, or `requirements_failed` with the installer's last lines.
        """
        wanted = tuple(sorted(set(requirements)))
        refused: dict[str, tuple[Interpreter, InstallFailed]] = {}
        async for python in self._interpreters.fitting(requires_python):
            key = _key(python, wanted)
            if key in self._refused:
                continue
            try:
                return await self._get(key, python, wanted, on_output)
            except InstallFailed as failure:
                refused[key] = (python, failure)
                if not _REFUSES_PYTHON.search(" ".join(failure.output.split())):
                    break
                self._refused.add(key)
        self._refused.difference_update(refused)  # none would do, so the next call asks again
        raise await self._none(requires_python, list(refused.values()))

    async def close(self) -> None:
        """End what is being made."""
        await asyncio.gather(*(making.cancel() for making in self._making.values()))

    async def _get(
        self, key: str, python: Interpreter, requirements: tuple[str, ...], on_output: Output
    ) -> Environment:
        folder = self._folder / key
        if not _exists(folder):
            making = self._making.get(key)
            if making is None or making.is_over:
                making = self._making[key] = _Making(lambda hear: self._make(folder, python, requirements, hear))
            try:
                await making.wait(on_output)
            finally:
                if making.is_over and self._making.get(key) is making:
                    del self._making[key]
        return Environment(folder)

    async def _make(self, folder: Path, python: Interpreter, requirements: tuple[str, ...], on_output: Output) -> None:
        """Make an environment beside its place and move it there when it is whole, so that no part is ever used."""
        async with _only_maker(folder):
            if _exists(folder):
                return
            draft = self._scratch.name()
            try:
                await self._installer.make(draft, python=python.path, on_output=on_output)
                if requirements:
                    interpreter = Environment(draft).python
                    await self._installer.install(requirements, python=interpreter, on_output=on_output)
                _move(draft, folder)
            finally:
                await asyncio.to_thread(remove_tree, draft)

    async def _none(self, requires_python: str | None, refused: list[tuple[Interpreter, InstallFailed]]) -> Problem:
        if not refused:
            return _python_not_found(requires_python, [python.version for python in await self._interpreters.all()])
        _, preferred = refused[0]
        return _requirements_failed(preferred, [python.version for python, _ in refused])


class _Making:
    """An environment that is being made, for as long as somebody waits for it."""

    def __init__(self, make: Callable[[Output], Awaitable[None]]) -> None:
        self._listeners: list[Output] = []
        self._said = bytearray()
        self._task = asyncio.ensure_future(make(self._hear))

    @property
    def is_over(self) -> bool:
        """Whether nobody can wait for it any more."""
        return self._task.done() or not self._listeners

    async def wait(self, on_output: Output) -> None:
        """Wait until it is made; the last one to leave ends the making."""
        if self._said:
            on_output(bytes(self._said))
        self._listeners.append(on_output)
        try:
            await asyncio.shield(self._task)
        finally:
            self._listeners.remove(on_output)
            if not self._listeners:
                await self.cancel()

    async def cancel(self) -> None:
        """End it, and wait until nothing of it is left."""
        self._task.cancel()
        with suppress(asyncio.CancelledError, InstallFailed):
            await self._task

    def _hear(self, data: bytes) -> None:
        self._said += data
        for listener in self._listeners:
            listener(data)


def _exists(folder: Path) -> bool:
    return folder.exists()  # one stat, which is no blocking to speak of


def _move(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        if not folder.exists():
            raise


@asynccontextmanager
async def _only_maker(folder: Path) -> AsyncIterator[None]:
    """Hold the right to make an environment against other agents that share the folder.

    The lock's file is removed by whoever held it. Should two hold different files of that name for a moment, both make
    the environment, and the one that is late finds its place taken, which is as good.
    """
    path = folder.with_suffix(".lock")
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _acquire(lock)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


async def _acquire(lock: int) -> None:
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        await asyncio.sleep(_LOCK_PAUSE)


def _key(python: Interpreter, requirements: tuple[str, ...]) -> str:
    """Name an environment by all that decides what is in it."""
    text = "\n".join((str(python.path), python.version, *requirements))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _python_not_found(requires_python: str | None, versions: list[str]) -> Problem:
    tried = ", ".join(versions) or "none at all"
    message = f"The plugin requires Python {requires_python}, and this machine has {tried}; install one that fits."
    return Problem(422, "python_not_found", message, requires_python=requires_python, found=versions)


def _requirements_failed(failure: InstallFailed, versions: list[str]) -> Problem:
    how = "took too long" if failure.timed_out else "could not be installed"
    said = " ".join(failure.output.split())[-_SAID_CHARACTERS:] or "nothing"
    message = f"The requirements {how} (Python {', '.join(versions)}). The installer said: {said}"
    return Problem(422, "requirements_failed", message, installer_output=failure.output)
