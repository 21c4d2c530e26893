"""A runner for each kind of isolation that this machine offers, and plugins for it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from synapse_agent.plugins.config import PluginConfig
from synapse_agent.runner.base import Params, Run
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.sandbox import probed
from synapse_agent.storage.trees import remove_tree

KERNELS = probed(wanted=True)
KINDS = {"namespaces": KERNELS, "landlock": replace(KERNELS, namespaces=False)}
_numbers = count(1)


class Deaf:
    """A `RunListener` that ignores all events."""

    def started(self) -> None:
        pass

    def turn(self) -> AbstractAsyncContextManager[object]:
        return nullcontext()

    def residence(self) -> AbstractAsyncContextManager[object]:
        return nullcontext()

    def output(self, data: bytes) -> None:
        pass

    def event(self, event: Mapping[str, Any]) -> None:
        pass

    def outputs(self, folder: Path, is_over: bool) -> None:
        pass


@dataclass
class Plugin:
    """A plugin on disk, whose `act` is run."""

    folder: Path

    async def run(self, runner: LocalRunner, **params: Any) -> Any:
        """Run it and parse its result."""
        config = PluginConfig.from_mapping({"code": "escape", "actions": {"act": "main:act"}})
        run = Run(f"job-{next(_numbers)}", self.folder, config, "act", Params.of(params), release="escape@1")
        return json.loads(await runner.run(run, Deaf()))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Plugin]:
    """Return a function that writes a plugin from its source."""

    def write(source: str) -> Plugin:
        folder = tmp_path / f"plugin-{next(_numbers)}"
        folder.mkdir()
        (folder / "main.py").write_text(dedent(source))
        return Plugin(folder)

    return write


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """A folder with a short name: without a view, it is part of socket paths, which have at most 108 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="escape-"))
    yield folder
    remove_tree(folder)


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of isolation; `landlock` is used if namespaces can't be created."""
    if KERNELS.status != "active":
        pytest.skip("this kernel has no Landlock")
    if request.param == "namespaces" and not KERNELS.namespaces:
        pytest.skip("namespaces can't be created here")
    return str(request.param)


@pytest.fixture
async def confined(kind: str, data_dir: Path) -> AsyncIterator[LocalRunner]:
    """A runner that isolates its runs in this way."""
    runner = LocalRunner(data_dir, sandbox=KINDS[kind])
    yield runner
    await runner.close()


@pytest.fixture
def outside() -> Iterator[Path]:
    """A folder with a file, on the disk and outside folders for temporary files; all users may change both."""
    place = os.environ.get("ESCAPE_FOLDER", Path(__file__).parent)
    folder = Path(tempfile.mkdtemp(dir=place, prefix=".outside-"))
    folder.chmod(0o777)
    (folder / "file").write_text("as it was")
    (folder / "file").chmod(0o666)
    yield folder
    remove_tree(folder)


@pytest.fixture
def limits_of() -> Callable[[int], Any]:
    """Return a function that reads the limits of a process which other processes could change."""

    def read(pid: int) -> Any:
        with Path(f"/proc/{pid}/limits").open() as file:
            return file.read(), os.getpriority(os.PRIO_PROCESS, pid), os.sched_getscheduler(pid)

    return read
