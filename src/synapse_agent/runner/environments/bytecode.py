"""Bytecode of environments and releases, compiled once for all their runs."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from synapse_agent.runner.environments.store import PYTHON
from synapse_agent.runner.processes.commands import Commands
from synapse_agent.runner.processes.keeper import ZygoteLost
from synapse_agent.runner.processes.limits import MIB, RunLimits
from synapse_agent.runner.synapse_worker import bytecode
from synapse_agent.storage.trees import remove_tree, walk

logger = logging.getLogger(__name__)

_LIMITS = RunLimits(time=1800.0, memory=2048 * MIB, log_bytes=4096)
_PAUSE_SECONDS = 0.5
"""Delay after a run reports modules: the reports of runs side by side need one process, an agent that ends none."""
_REST_SECONDS = 2.0
"""Delay after the first run of an environment: an agent that ends before then does not need the rest."""
_MOST_TOLD = 50_000
"""Most modules of one environment that wait for compilation; a run that reports more has invented them."""


@dataclass(slots=True, eq=False)
class _Work:
    """Modules to compile for one environment."""

    folder: Path
    below: set[Path]
    """The folders of these modules: the environment, and the releases that run in it."""
    told: dict[bytes, None] = field(default_factory=dict)
    """Modules that runs had to compile themselves: these are compiled first."""
    rest: list[Path] = field(default_factory=list)
    has_library: bool = False
    has_failed: bool = False

    def take(self) -> list[bytes]:
        """Take the next modules."""
        if self.told:
            told, self.told = list(self.told), {}
            return told
        rest, self.rest = [os.fsencode(path) for path in self.rest], []
        if rest and not self.has_library:
            self.has_library = True
            rest.append(bytecode.LIBRARY.encode())
        return rest


class BytecodeCompiler:
    """Compiles modules in a sandboxed process of low priority, so that runs need not, and can't, write bytecode."""

    def __init__(self, folder: Path, commands: Commands) -> None:
        """`folder` is the `sys.pycache_prefix` of runs."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._commands = commands
        self._works: dict[Path, _Work] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self, environment: Path, release: Path | None) -> None:
        """Compile an environment and a release once their first run has started; later calls do nothing."""
        work = self._works.get(environment)
        if work is None:
            work = self._works[environment] = _Work(environment, {environment})
            self._later(work, environment / "lib")
        if release is not None and release not in work.below:
            work.below.add(release)
            self._later(work, release)
        if self._task is None:
            self._task = asyncio.create_task(self._keep_compiling())

    def told(self, environment: Path, source: bytes) -> None:
        """Add a module that a run had to compile."""
        work = self._works.get(environment)
        if work is not None and len(work.told) < _MOST_TOLD and not work.has_failed:
            work.told[source] = None
            self._changed.set()

    def place_of(self, folder: Path) -> Path:
        """Return the bytecode folder of a folder."""
        return self.folder / folder.relative_to("/")

    def forget(self, folder: Path) -> None:
        """Forget a removed environment or release."""
        self._works.pop(folder, None)
        for work in self._works.values():
            work.below.discard(folder)

    async def close(self) -> None:
        """Stop compiling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _later(self, work: _Work, folder: Path) -> None:
        def add() -> None:
            work.rest.append(folder)
            self._changed.set()

        asyncio.get_running_loop().call_later(_REST_SECONDS, add)

    async def _keep_compiling(self) -> None:
        await asyncio.to_thread(_remove_stale, self.folder)
        while True:
            await self._changed.wait()
            await asyncio.sleep(_PAUSE_SECONDS)
            self._changed.clear()
            for work in list(self._works.values()):
                while not work.has_failed and (paths := work.take()):
                    await self._compile(work, paths)

    async def _compile(self, work: _Work, paths: list[bytes]) -> None:
        said = bytearray()
        await asyncio.to_thread(self.folder.mkdir, parents=True, exist_ok=True)  # it may have been removed
        command = [_python(work.folder), "-I", "-S", bytecode.__file__, str(self.folder), *map(str, work.below)]
        try:
            ending = await self._commands.run(
                command,
                stdin=b"\0".join(paths),
                writable=[self.folder],
                limits=_LIMITS,
                on_output=said.extend,
                in_background=True,
            )
        except (OSError, ZygoteLost) as error:
            logger.info("Could not compile modules of environment %s: %s", work.folder.name, error)
            return
        if ending.status != 0:
            work.has_failed = True
            if not await asyncio.to_thread(work.folder.is_dir):
                return  # it was removed meanwhile
            why = said.decode(errors="replace")[-500:] or f"status {ending.status}"
            logger.warning("Stopped compiling the modules of environment %s: %s", work.folder.name, why)


def _python(environment: Path) -> str:
    """Return an environment's Python by its real path: started that way, it runs no code of the environment."""
    return os.path.realpath(environment / PYTHON)


def _remove_stale(folder: Path) -> None:
    """Remove the bytecode of what no longer exists, such as releases that were deleted while no agent ran."""
    for place, entries in walk(folder):
        for name in (entry.name for entry in entries if entry.is_dir(follow_symlinks=False)):
            if not Path("/", place.relative_to(folder), name).is_dir():
                remove_tree(place / name)
