"""A real runner, and plugins that the tests write."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from synapse_agent.plugins.config import PluginConfig
from synapse_agent.problems import Problem
from synapse_agent.runner.base import Params, Run
from synapse_agent.runner.environments.store import describe
from synapse_agent.runner.local import LocalRunner

_job_numbers = count(1)


@dataclass
class Heard:
    """A `RunListener` that stores what it receives."""

    starts: int = 0
    log: bytes = b""
    events: list[Mapping[str, Any]] = field(default_factory=list)
    left: dict[str, bytes] = field(default_factory=dict)
    timings: list[Mapping[str, Any]] = field(default_factory=list)

    def started(self) -> None:
        self.starts += 1

    def turn(self) -> AbstractAsyncContextManager[object]:
        return nullcontext()

    def residence(self) -> AbstractAsyncContextManager[object]:
        return nullcontext()

    def at(self, moment: float) -> None:
        pass

    def output(self, data: bytes) -> None:
        self.log += data

    def event(self, event: Mapping[str, Any]) -> None:
        if event["type"] == "timings":
            self.timings.append(event)
        else:
            self.events.append(event)

    def outputs(self, folder: Path, is_over: bool) -> None:
        if is_over:
            with suppress(FileNotFoundError):  # the keeper removes an empty folder at once
                self.left |= {path.name: path.read_bytes() for path in folder.iterdir()}


@dataclass
class Plugin:
    """A plugin on disk with one module, `plugin/main.py`, whose `act` is the action of that name."""

    folder: Path
    config: PluginConfig
    heard: Heard = field(default_factory=Heard)

    def prepared(self, params: Mapping[str, Any], **more: Any) -> Run:
        """Return a run of `act`, as of a release."""
        job = {"job_id": f"job-{next(_job_numbers)}", "action": "act", "release": "tried@1.0.0"}
        given = {**job, "params": Params.of(params), **more}
        return Run(folder=self.folder, config=self.config, **given)

    async def run(self, runner: LocalRunner, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Run `act` and parse its result."""
        return json.loads(await runner.run(self.prepared(params or {}, **more), self.heard))

    async def problem(self, runner: LocalRunner, params: Mapping[str, Any] | None = None, **more: Any) -> Problem:
        """Run `act`, which should fail, and return the error."""
        with pytest.raises(Problem) as caught:
            await self.run(runner, params, **more)
        return caught.value


@pytest.fixture
def write_plugin(tmp_path: Path) -> Callable[..., Plugin]:
    """Return a function that writes a plugin from the source of its module."""
    numbers = count(1)

    def write(source: str, *, requirements: str = "", entrypoint: str = "plugin.main:act", **config: Any) -> Plugin:
        folder = tmp_path / f"plugin-{next(numbers)}"
        (folder / "plugin").mkdir(parents=True)
        (folder / "plugin" / "main.py").write_text(dedent(source), encoding="utf-8")
        if requirements:
            (folder / "requirements.txt").write_text(requirements, encoding="utf-8")
        actions = {"act": {"entrypoint": entrypoint, "method": "local"}}
        return Plugin(folder, PluginConfig.from_mapping({"code": "tried", "actions": actions, **config}))

    return write


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the data folder that all runners share, so that each environment is created once."""
    return tmp_path_factory.mktemp("runner-data")


@pytest.fixture
async def runner(data_dir: Path) -> AsyncIterator[LocalRunner]:
    """Yield a runner without limits, and close it afterwards."""
    runner = LocalRunner(data_dir)
    yield runner
    await runner.close()


@dataclass
class Wheels:
    """A folder of packages that the tests wrote."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        """The variables that make uv install from this folder."""
        cache = str(self.folder / "cache")
        return {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder), "UV_CACHE_DIR": cache}

    def write(self, name: str, modules: Mapping[str, str], *, requires_python: str = ">=3.8", script: str = "") -> None:
        """Write a package with these modules, and a command that calls one of its functions."""
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Python: {requires_python}\n"
        info = f"{name.replace('-', '_')}-1.0.dist-info"
        with zipfile.ZipFile(self.folder / f"{name.replace('-', '_')}-1.0-py3-none-any.whl", "w") as wheel:
            for module, source in modules.items():
                wheel.writestr(f"{module}.py", source)
            wheel.writestr(f"{info}/METADATA", metadata)
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name} = {script}\n" if script else "")
            wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def wheels(tmp_path: Path) -> Wheels:
    """Return a folder for packages of the test."""
    (tmp_path / "wheels").mkdir()
    return Wheels(tmp_path / "wheels")


@pytest.fixture
def write_environment(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a fake environment into the folder `environments`."""

    def write(
        name: str,
        *,
        python: str = "3.11.7",
        requirements: Sequence[str] = (),
        content: int = 0,
        interpreter: str | Path = sys.executable,
    ) -> Path:
        folder = tmp_path / "environments" / name
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").symlink_to(interpreter)
        (folder / "pyvenv.cfg").touch()
        (folder / "content").write_bytes(bytes(content))
        describe(folder, python=python, requirements=requirements)
        return folder

    return write


@pytest.fixture(scope="session")
def until() -> Callable[..., Awaitable[None]]:
    """Return a function that waits for a condition."""

    async def wait(condition: Callable[[], Any], *, seconds: float = 45.0) -> None:
        start = time.monotonic()
        while not condition():
            waited = time.monotonic() - start
            assert waited < seconds
            await asyncio.sleep(max(0.005, waited / 20))

    return wait


AGENT = """
import asyncio, json, sys, time
from contextlib import nullcontext
from pathlib import Path
from synapse_agent.plugins.config import PluginConfig
from synapse_agent.runner.base import Params, Run
from synapse_agent.runner.local import LocalRunner

class Printing:
    def started(self): pass
    def turn(self): return nullcontext()
    def output(self, data): sys.stdout.buffer.write(data)
    def event(self, event): pass
    def outputs(self, folder, is_over): pass
    def residence(self): return nullcontext()

class Stuck(Printing):
    def started(self): time.sleep(1000)

async def main(data_dir, folder, params, runs):
    config = PluginConfig.from_mapping({"code": "tried", "actions": {"act": "plugin.main:act"}})
    params, runner = Params.of(json.loads(params)), LocalRunner(Path(data_dir))
    jobs = [Run(f"job-{n}", Path(folder), config, "act", params, release="tried@1.0.0") for n in range(int(runs))]
    await asyncio.gather(*(runner.run(job, Printing() if len(jobs) == 1 else Stuck()) for job in jobs))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def start_agent() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Return a function that runs a plugin's `act` in a separate process, for the test to kill.

    With several `runs`, that process prints when the first has started, and nothing after that.
    """
    with ExitStack() as stack:

        def start(
            plugin: Plugin, data_dir: Path, params: Mapping[str, Any], *, runs: int = 1, **more: Any
        ) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", AGENT, data_dir, plugin.folder, json.dumps(params), str(runs)]
            agent = stack.enter_context(subprocess.Popen(command, **more))
            stack.callback(agent.kill)
            return agent

        yield start
