"""A running agent, both facades, and a count of what the agent holds before and after each test."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import forked
import httpx
import pytest
from forked import PROGRAM, Command
from keepers import running

from synapse_agent import EmbeddedAgent
from synapse_agent.runner.environments import bytecode
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.exceptions import ClientError

SETTLE_SECONDS = 5.0
TRIVIAL: dict[str, Any] = {"modules": {"main": "def go(): pass"}, "config": {"actions": {"go": "main:go"}}}


@dataclass
class Holdings:
    """What an agent holds, and what this process holds for it."""

    releases: int
    release_folders: int
    environments: int
    bytecode: int
    """The number of releases with bytecode."""
    jobs: int
    job_folders: int
    unfinished_jobs: int
    temporary: int
    """Folders of fetches and debug runs, files of runs and installations."""
    processes: int
    """Processes of runs; keepers, zygotes and processes that wait for a run don't count."""
    descriptors: int
    """Those of this process, except for its keepers and for environments and plugins in use."""

    def is_within(self, wanted: Holdings) -> bool:
        """Return whether this equals `wanted`; fewer descriptors are fine, since idle connections get closed."""
        return self == replace(wanted, descriptors=min(self.descriptors, wanted.descriptors))

    @classmethod
    def of(cls, agent: EmbeddedAgent, data: Path) -> Holdings:
        with agent.client() as client:  # only the agent can read its database
            releases = len(client.list_plugin_releases(list_all=True)[0])
            jobs = [job["status"] for job in all_jobs(client)]
        return cls(
            releases=releases,
            release_folders=entries(data / "releases"),
            environments=entries(data / "environments"),
            bytecode=entries(data / "bytecode" / (data / "releases").relative_to("/")),
            jobs=len(jobs),
            job_folders=entries(data / "jobs"),
            unfinished_jobs=sum(status in ("PENDING", "RUNNING") for status in jobs),
            temporary=entries(data / "tmp") + sum(len(files) for _, _, files in os.walk(data / "scratch")),
            processes=len(running(data)),
            descriptors=descriptors(without=tuple(data / name for name in ("environments", "locks", "plugin-locks"))),
        )

    def plus(self, more: Mapping[str, int]) -> Holdings:
        return Holdings(**{name: count + more.get(name, 0) for name, count in asdict(self).items()})


@dataclass
class Ledger:
    """What an agent held before a test, and what it may hold in addition after it."""

    agent: EmbeddedAgent
    data: Path
    before: Holdings
    more: dict[str, int] = field(default_factory=dict)

    def expect(self, **more: int) -> None:
        """Register what stays on purpose: `jobs=1` for a run's record, `environments=1`, ..."""
        for name, count in more.items():
            self.more[name] = self.more.get(name, 0) + count

    def check(self) -> None:
        """Compare, with time for connections and processes that are about to end."""
        wanted = self.before.plus(self.more)
        end = time.monotonic() + SETTLE_SECONDS
        while not (now := Holdings.of(self.agent, self.data)).is_within(wanted) and time.monotonic() < end:
            time.sleep(0.01)
        assert now.is_within(wanted), (now, wanted)


class Facade:
    """Calls the methods of either client; the asynchronous one runs on its own event loop."""

    def __init__(self, client: AgentClient | AsyncAgentClient, runner: asyncio.Runner) -> None:
        self.client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)
        return lambda *args, **kwargs: self._finish(method(*args, **kwargs))

    def error(self, name: str, *args: Any, **kwargs: Any) -> ClientError:
        """Call a method that should fail, and return its error."""
        with pytest.raises(ClientError) as caught:
            getattr(self, name)(*args, **kwargs)
        return caught.value

    def close(self) -> None:
        self._finish(self.client.close() if isinstance(self.client, AgentClient) else self.client.aclose())

    def _finish(self, value: Any) -> Any:
        return self._runner.run(value) if inspect.iscoroutine(value) else value


@dataclass
class Served:
    """An agent as a separate process."""

    process: subprocess.Popen[str]
    base_url: str
    data: Path

    def memory(self, name: str = "VmRSS") -> int:
        """Return its memory in MiB, or with `VmHWM` the maximum."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) // 1024

    def forget_peak(self) -> None:
        """Make `VmHWM` count from now on; for users other than root it counts from the start."""
        with suppress(PermissionError):
            Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def end(self) -> str:
        """Ask it to stop, and return its stderr."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=30)[1]


def all_jobs(client: AgentClient) -> list[Any]:
    """List every job, page after page."""
    found: list[Any] = []
    while page := client.list_jobs(limit=1000, before=found[-1]["job_id"] if found else None):
        found += page
    return found


def entries(folder: Path) -> int:
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def descriptors(*, without: Sequence[Path]) -> int:
    """Count the open files of this process but for those below some folders, and three for each keeper."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor that lists the folder
            path = link.readlink()
            found += not any(path.is_relative_to(folder) for folder in without)
            found -= 3 * path.name.startswith("memfd:keeper-stderr")
    return found


@pytest.fixture(scope="session")
def write_files() -> Callable[[Path, Mapping[str, str | bytes]], Path]:
    """Write files into a folder: `write_files(folder, {"config.yaml": text, ...})`."""

    def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else dedent(content).encode())
        return folder

    return write


@pytest.fixture(scope="session")
def write_wheel() -> Callable[..., Path]:
    """Write a package with requirements and no code."""

    def write(folder: Path, name: str, version: str = "1.0", *, python: str = ">=3.8", requires: str = "") -> Path:
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}\n"
        path = folder / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{name}.py", f"VERSION = {version!r}\n")
            wheel.writestr(f"{info}/METADATA", metadata + (f"Requires-Dist: {requires}\n" if requires else ""))
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        return path

    return write


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent's plugins folder; each test adds plugins with its own names."""
    return tmp_path_factory.mktemp("plugins")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is the agent's only package index."""
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent's data folder."""
    return tmp_path_factory.mktemp("agent-data")


@pytest.fixture(scope="session")
def edges_agent(plugins: Path, packages: Path, data: Path) -> Iterator[EmbeddedAgent]:
    """An agent that all tests share, with small limits and the packages of the folder `packages`."""
    forked.server()  # its socket does not count for a test
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(bytecode, "_PAUSE_SECONDS", 0.0)  # else modules are compiled during the next test
        with pytest.MonkeyPatch.context() as environment:  # it is read when the agent starts
            environment.setenv("PIP_NO_INDEX", "1")
            environment.setenv("UV_FIND_LINKS", str(packages))
            environment.setenv("UV_CACHE_DIR", str(packages / ".cache"))
            # A thread that an action leaves may hold a run forever if it has no time limit.
            limits = {"request_timeout": 1.0, "max_body_bytes": 200_000, "time_limit": 120.0}
            # Actions write to the tests' temporary folders, so that tests can observe them.
            running = EmbeddedAgent(plugins, data_dir=data, allow_write=(plugins.parent,), **limits)
            stack.enter_context(running)
        before = Holdings.of(running, data)
        with running.client() as client:
            client.run_debug_plugin_release("go", **TRIVIAL)
        # Now the empty environment exists.
        Ledger(running, data, before, {"environments": 1, "jobs": 1}).check()
        yield running


@pytest.fixture(scope="session")
def settle(edges_agent: EmbeddedAgent, data: Path) -> Callable[[], None]:
    """Wait until everything that fixtures release at their end is gone."""

    def settle() -> None:
        now, before, end = Holdings.of(edges_agent, data), None, time.monotonic() + 10 * SETTLE_SECONDS
        while now != before:
            assert time.monotonic() < end, (before, now)
            time.sleep(0.1)
            now, before = Holdings.of(edges_agent, data), now

    return settle


@pytest.fixture
def ledger(edges_agent: EmbeddedAgent, data: Path) -> Iterator[Ledger]:
    """Count the agent's resources before and after a test; they must be equal, except for expected changes."""
    end = time.monotonic() + SETTLE_SECONDS
    while (before := Holdings.of(edges_agent, data)).processes and time.monotonic() < end:
        time.sleep(0.01)  # a zygote may be starting because of the previous test
    ledger = Ledger(edges_agent, data, before)
    yield ledger
    ledger.check()


@pytest.fixture(params=[AgentClient, AsyncAgentClient], ids=["sync", "async"])
def make_facade(request: pytest.FixtureRequest) -> Iterator[Callable[..., Facade]]:
    """Make clients of one kind, and close them at the end; every test that takes this runs with both kinds."""
    with asyncio.Runner() as runner, ExitStack() as stack:

        def make(base_url: Any, *args: Any, **options: Any) -> Facade:
            facade = Facade(request.param(base_url, *args, **options), runner)
            stack.callback(facade.close)
            return facade

        yield make


@pytest.fixture
def facade(ledger: Ledger, edges_agent: EmbeddedAgent, make_facade: Callable[..., Facade]) -> Facade:  # noqa: ARG001 - as above
    """A client of the shared agent, which must not hold more after the test than before."""
    return make_facade(edges_agent.base_url, edges_agent.token)


@pytest.fixture
def http(ledger: Ledger, edges_agent: EmbeddedAgent) -> Iterator[httpx.Client]:  # noqa: ARG001 - it counts
    """A plain HTTP client of the shared agent, for requests that the facade does not send."""
    headers = {"Authorization": edges_agent.token}
    with httpx.Client(base_url=edges_agent.base_url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def serve(plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """Start agents as processes, on free ports and with the token `secret`, and end them after the test."""
    with ExitStack() as stack:

        def start(*options: str, data: Path | None = None, prefix: Sequence[str] = ()) -> Served:
            folder = data or tmp_path_factory.mktemp("served-data")
            command = [*prefix, *PROGRAM, "serve", "--port", "0", "--token", "secret"]
            command += ["--plugins", str(plugins), "--data-dir", str(folder), "--allow-write", str(plugins.parent)]
            command += options
            process = stack.enter_context(Command(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            assert process.stdout
            line = process.stdout.readline()
            assert line.startswith("ready "), process.communicate()
            return Served(process, line.removeprefix("ready ").strip(), folder)

        yield start


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount file systems for the tests, if that is permitted."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"mounted-{len(mounted)}"
        folder.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
        )
        if made.returncode:
            pytest.skip(f"no file system can be mounted here: {made.stderr.decode().strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)
