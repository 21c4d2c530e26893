"""Environments for plugins: created by uv, named by their content, each created once for all callers."""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from synapse_agent.plugins.requirements import environment_key
from synapse_agent.problems import Problem
from synapse_agent.runner.environments.installer import Installer, InstallFailed, PythonUnusable
from synapse_agent.runner.environments.interpreters import Interpreter, Interpreters
from synapse_agent.runner.environments.leases import EnvironmentLease, EnvironmentLeases
from synapse_agent.runner.environments.store import PYTHON, Remover, describe, lock_path, stored_environments
from synapse_agent.storage.disk import disk_full
from synapse_agent.storage.eviction import CacheBounds, to_remove
from synapse_agent.storage.locks import file_locked, locked_too_long
from synapse_agent.storage.scratch import Scratch
from synapse_agent.storage.trees import remove_tree
from synapse_agent.util.changes import Change, Changes
from synapse_agent.util.sizes import show_size

logger = logging.getLogger(__name__)

Output = Callable[[bytes], None]

_REFUSES_PYTHON = re.compile(r"Python ?[<>=!~]|matching Python")
"""uv's messages: `requires Python >=3.12`, `does not satisfy Python>=3.12`,
`no wheels with a matching Python ABI tag`."""
_DISK_FULL = f"(os error {errno.ENOSPC})"
_TAKE_PAUSE = 0.002
_TAKE_SECONDS = 30.0
"""How long a run waits for an environment's lock, which only a remover holds exclusively, and briefly."""
_TIDY_SECONDS = 60.0
_MAKERS = 4
"""Most concurrent installations; runs with an existing environment don't wait for them."""
_SAID_CHARACTERS = 1000
"""How much of the installer's output the message contains; the problem has more in a field of its own."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A complete virtual environment."""

    folder: Path
    base: Path
    """The interpreter that it was created with; unlike the one in the folder, no build can have replaced it."""

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / PYTHON


_Taken = tuple[EnvironmentLease, Interpreter]


class Environments:
    """The environments in one folder, which several agents can share."""

    def __init__(
        self,
        folder: Path,
        *,
        bytecode: Path,
        interpreters: Interpreters,
        installer: Installer,
        scratch: Scratch,
        bounds: CacheBounds,
        on_lost: Callable[[Path], None],
        changes: Changes | None = None,
    ) -> None:
        """`on_lost` is called with the folder of an environment that was removed or has changed."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._interpreters = interpreters
        self._installer = installer
        self._scratch = scratch
        self._bounds = bounds
        self._changes = changes or Changes()
        self._remover = Remover(folder, bytecode=bytecode, trash=scratch.name)
        self._leases = EnvironmentLeases(on_lost=on_lost)
        self._making: dict[str, _Making] = {}
        self._makers = asyncio.Semaphore(_MAKERS)
        self._made = asyncio.Event()
        self._tidying: asyncio.Task[None] | None = None
        self._rooms: list[Path] = []
        self._refused: set[str] = set()
        """Keys that failed because of their Python: runs try these last."""

    @asynccontextmanager
    async def use(
        self, requirements: Iterable[str], *, requires_python: str | None, on_output: Output
    ) -> AsyncIterator[Environment]:
        """Yield an environment with these requirements, created if missing, and protected from removal meanwhile.

        If a requirement rejects a Python, this tries the next one that `requires_python` allows. Raises `Problem` 422:
        `python_not_found`, or `requirements_failed` with the installer's last lines.
        """
        wanted = tuple(sorted(set(requirements)))
        taken = await self._ready(wanted, requires_python) or await self._obtain(wanted, requires_python, on_output)
        lease, python = taken
        self._begin_tidying()
        try:
            yield Environment(lease.folder, python.path)
        finally:
            self._leases.release(lease)

    async def close(self) -> None:
        """Stop all installations, and remove what is not in use."""
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.wait([self._tidying])
        await asyncio.gather(*(making.cancel() for making in self._making.values()))
        self._leases.close()

    async def _ready(self, wanted: tuple[str, ...], requires_python: str | None) -> _Taken | None:
        """Take the environment of the first Python if it exists, which it does for most runs.

        This accesses the file system once, and never blocks.
        """
        for python in self._interpreters.known(requires_python):
            key = _key(python, wanted)
            if key in self._making:  # else this run would overtake those that wait for it
                return None
            if key not in self._refused:
                lease = await self._take(self._folder / key)
                return None if lease is None else (lease, python)
        return None

    async def _obtain(self, wanted: tuple[str, ...], requires_python: str | None, on_output: Output) -> _Taken:
        """Take the environment of the first Python that has one, or for which it can be created."""
        await self._interpreters.look_again()
        refused: dict[str, tuple[Interpreter, InstallFailed]] = {}
        async for python in self._candidates(requires_python, wanted):
            key = _key(python, wanted)
            try:
                return await self._get(key, python, wanted, on_output), python
            except InstallFailed as failure:
                if _DISK_FULL in failure.output:
                    raise disk_full() from failure
                refused[key] = (python, failure)
                if not (isinstance(failure, PythonUnusable) or _REFUSES_PYTHON.search(failure.words)):
                    break
                self._refused.add(key)
        self._refused.difference_update(refused)  # all were refused, so the next call tries again
        raise await self._none(requires_python, list(refused.values()))

    async def _candidates(self, requires_python: str | None, wanted: tuple[str, ...]) -> AsyncIterator[Interpreter]:
        """Yield the Pythons to try; last those that other plugins refused: they may be the only matching ones."""
        refused = []
        async for python in self._interpreters.fitting(requires_python):
            if _key(python, wanted) in self._refused:
                refused.append(python)
            else:
                yield python
        for python in refused:
            yield python

    async def _get(
        self, key: str, python: Interpreter, requirements: tuple[str, ...], on_output: Output
    ) -> EnvironmentLease:
        """Take an environment; try again if it is removed in the meantime."""
        folder = self._folder / key
        while key in self._making or (lease := await self._take(folder)) is None:
            await self._wait_for(key, lambda hear: self._make(folder, python, requirements, hear), on_output)
        return lease

    async def _take(self, folder: Path) -> EnvironmentLease | None:
        limit = time.monotonic() + _TAKE_SECONDS
        while time.monotonic() < limit:
            with suppress(BlockingIOError):
                return self._leases.take(folder)
            await asyncio.sleep(_TAKE_PAUSE)
        raise locked_too_long(lock_path(folder), _TAKE_SECONDS)

    async def _wait_for(self, key: str, make: Callable[[Output], Awaitable[None]], on_output: Output) -> None:
        making = self._making.get(key)
        if making is None or making.is_over:
            making = self._making[key] = _Making(make)
        try:
            await making.wait(on_output)
        finally:
            if making.is_over and self._making.get(key) is making:
                del self._making[key]

    async def _make(self, folder: Path, python: Interpreter, requirements: tuple[str, ...], on_output: Output) -> None:
        """Create an environment beside its place and move it there once complete, so that no part is ever used."""
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)  # it may have been removed
        async with file_locked(lock_path(folder).with_suffix(".lock")):
            if (folder / PYTHON).exists():
                return
            await asyncio.to_thread(self._remover.discard, folder)
            room = self._room()
            draft = room / "environment"
            began = time.monotonic()
            try:
                async with self._makers:
                    await self._fill(draft, python, requirements, on_output)
                _move(draft, folder)
            except BaseException:
                await asyncio.to_thread(remove_tree, room)
                raise
            await asyncio.to_thread(self._keep, room)
            facts = {"python": python.version, "requirements": len(requirements), "seconds": _since(began)}
            self._changes.publish(Change("environment", "made", folder.name, facts))
            self._made.set()

    async def _fill(self, draft: Path, python: Interpreter, requirements: tuple[str, ...], on_output: Output) -> None:
        await self._installer.make(draft, python=python.path, on_output=on_output)
        if requirements:
            on_output(_announcement(len(requirements)))
            await self._installer.install(requirements, python=draft / PYTHON, on_output=on_output)
        describe(draft, python=python.version, requirements=requirements)

    def _room(self) -> Path:
        while self._rooms:
            room = self._rooms.pop()
            if room.is_dir():  # the data folder may have been cleaned up
                return room
        return self._scratch.take()

    def _keep(self, room: Path) -> None:
        """Keep a temporary folder for the next environment, unless it has files: uv caches facts by path."""
        if any(room.iterdir()):
            remove_tree(room)
        else:
            self._rooms.append(room)

    async def _none(self, requires_python: str | None, refused: list[tuple[Interpreter, InstallFailed]]) -> Problem:
        if not refused:
            return _python_not_found(requires_python, [python.version for python in await self._interpreters.all()])
        _, preferred = refused[0]
        return _requirements_failed(preferred, [python.version for python, _ in refused])

    def _begin_tidying(self) -> None:
        if self._tidying is None:
            self._tidying = asyncio.create_task(self._keep_tidy())

    async def _keep_tidy(self) -> None:
        """Remove what exceeds the bounds, and leftovers: after each installation, and from time to time."""
        while True:
            self._made.clear()
            try:
                await self._tidy()
            except OSError as error:
                logger.warning("The environments in %s cannot be cleaned up: %s", self._folder, error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._made.wait(), _TIDY_SECONDS)

    async def _tidy(self) -> None:
        self._leases.check()
        await asyncio.to_thread(self._scratch.sweep)
        await asyncio.to_thread(self._remover.sweep)
        found = await asyncio.to_thread(stored_environments, self._folder)
        for environment in to_remove(found, self._bounds, now=time.time()):
            if await asyncio.to_thread(self._remover.remove, environment):
                self._leases.lose(environment.folder)
                facts = {"size": show_size(environment.size), "why": "over the limits, least recently used"}
                self._changes.publish(Change("environment", "removed", environment.id, facts))


class _Making:
    """An environment that is being created, while at least one run waits for it."""

    def __init__(self, make: Callable[[Output], Awaitable[None]]) -> None:
        self._listeners: list[Output] = []
        self._said = bytearray()
        self._task = asyncio.ensure_future(make(self._hear))

    @property
    def is_over(self) -> bool:
        """Whether no further run can wait for it."""
        return self._task.done() or not self._listeners

    async def wait(self, on_output: Output) -> None:
        """Wait until it is created; when the last waiter leaves, the installation stops."""
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
        """Stop it, and wait until it is removed."""
        self._task.cancel()
        with suppress(asyncio.CancelledError, InstallFailed, Problem):
            await self._task

    def _hear(self, data: bytes) -> None:
        self._said += data
        for listener in self._listeners:
            listener(data)


def _since(moment: float) -> float:
    return round(time.monotonic() - moment, 3)


def _announcement(count: int) -> bytes:
    what = "1 requirement" if count == 1 else f"{count} requirements"
    return f"Making an environment with {what}. Later runs reuse it.\n".encode()


def _move(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        if not folder.exists():
            raise


@lru_cache
def _key(python: Interpreter, requirements: tuple[str, ...]) -> str:
    """Derive an environment's name from all that determines its content."""
    return environment_key(requirements, str(python.path), python.version)


def _python_not_found(requires_python: str | None, versions: list[str]) -> Problem:
    tried = ", ".join(versions) or "none"
    message = f"The plugin requires Python {requires_python}. Available here: {tried}. Install one that matches."
    return Problem(422, "python_not_found", message, requires_python=requires_python, found=versions)


def _requirements_failed(failure: InstallFailed, versions: list[str]) -> Problem:
    how = "took too long" if failure.timed_out else "could not be installed"
    said = failure.words[-_SAID_CHARACTERS:] or "no output"
    message = f"The requirements {how} (Python {', '.join(versions)}). Installer output: {said}"
    return Problem(422, "requirements_failed", message, installer_output=failure.output)
