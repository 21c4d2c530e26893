"""What a run can use of a machine without configured limits, and what control groups end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from keepers import descendants, is_alive, keepers
from waiting import until

from synapse_agent.problems import Problem
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.limits import RunLimits
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ServerError

from .conftest import KERNELS, Plugin

FORKS = """
    import os, time

    def act(most):
        for count in range(most):
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
        return count
    """
is_counted = KERNELS.namespaces and "processes" in KERNELS.bounds


@pytest.mark.anyio
@pytest.mark.skipif(not is_counted, reason="the kernel counts no processes of a namespace here")
async def test_processes_are_bounded_in_a_namespace(data_dir: Path, write: Callable[[str], Plugin]) -> None:
    """The limit is per release: from Linux 6.14 on by the PID namespace, for root too; else by the user namespace."""
    runner = LocalRunner(data_dir, sandbox=KERNELS, most_processes=200, limits=RunLimits(processes=200))
    with pytest.raises(Problem) as caught:
        await write(FORKS).run(runner, most=600)
    assert caught.value.message == "BlockingIOError: [Errno 11] Resource temporarily unavailable"
    assert await write(FORKS).run(runner, most=100) == 99
    await runner.close()


class Group:
    """A control group of version 2, delegated to the agents that are started in it."""

    def __init__(self, folder: Path, *, is_new: bool = True) -> None:
        self.folder = folder
        if is_new:
            folder.mkdir()
            os.setxattr(folder, "trusted.delegate", b"1")  # as systemd does for `Delegate=yes`

    @contextmanager
    def agent(self, data: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], AgentClient]]:
        """Start an agent in it, and kill it if the test has not."""
        command = [sys.executable, "-m", "synapse_agent", "serve", "--port", "0", "--token", "x", *options]
        command += ["--plugins", str(data.parent), "--data-dir", str(data)]
        join = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self.folder)]
        with subprocess.Popen([*join, *command], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                line = process.stdout.readline()
                with AgentClient(line.removeprefix("ready ").strip(), "x", max_retries=0, timeout=30) as client:
                    yield process, client
            finally:
                process.kill()

    def remove(self) -> None:
        (self.folder / "cgroup.kill").write_text("1")
        until(lambda: "populated 0" in (self.folder / "cgroup.events").read_text())
        for folder in sorted([self.folder, *filter(Path.is_dir, self.folder.rglob("*"))], reverse=True):
            folder.rmdir()


@pytest.fixture
def group() -> Iterator[Group]:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    root = next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)
    if root is None or os.geteuid() != 0 or not os.access(root, os.W_OK):
        pytest.skip("only root can delegate a control group of version 2")
    group = Group(root / f"synapse-test-{os.getpid()}")
    yield group
    group.remove()


def debug(client: AgentClient, source: str, *, method: str = "local", **params: Any) -> Any:
    """Run `act` of a module."""
    config = {"actions": {"act": {"entrypoint": "main:act", "method": method}}}
    return client.run_debug_plugin_release("act", params=params, config=config, modules={"main": dedent(source)})


DAEMON = """
    import os, time

    def act(mark):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.setsid()
                time.sleep(0.2)
                with open(mark, "w") as file:
                    file.write(str(os.getpid()))
                time.sleep(60)
            os._exit(0)
        time.sleep(60)
    """


def test_a_control_group_ends_what_a_killed_keeper_has_left(group: Group, tmp_path: Path) -> None:
    """This holds without namespaces, too; a start removes all leftover groups."""
    data, mark = tmp_path / "data", tmp_path / "mark"
    with group.agent(data, "--no-sandbox") as (process, client):
        debug(client, DAEMON, method="job", mark=str(mark))
        until(lambda: mark.exists() and mark.read_text())
        daemon = int(mark.read_text())
        (keeper,) = {
            each for each in keepers(data) if daemon in descendants(each) or group_of(each) == group_of(daemon)
        }
        os.kill(keeper, signal.SIGKILL)
        until(lambda: not is_alive(daemon))
        assert f"/{group.folder.name}/agent" in group_of(process.pid)
        process.kill()
    with group.agent(data, "--no-sandbox"):
        kept = [path.name for path in group.folder.rglob("*") if path.is_dir() and path.parent.name.startswith("runs-")]
        assert kept == []


WAITS = """
    import os, time

    def act(mark):
        open(mark, "w").close()
        while not os.path.exists(mark + ".end"):
            time.sleep(0.01)
        return "whole"
    """


def test_a_start_ends_no_control_group_of_a_job_that_outlives_the_agent(
    group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job stays in its group, which the start after its end removes."""
    monkeypatch.setenv("SYNAPSE_AGENT_STOP_RUNS", "0")
    data, mark = tmp_path / "data", tmp_path / "mark"
    with group.agent(data, "--no-sandbox") as (process, client):
        job = debug(client, WAITS, method="job", mark=str(mark))["job_id"]
        until(mark.exists)
        process.kill()
    with group.agent(data, "--no-sandbox") as (process, client):
        assert [*group.folder.glob("runs-*/lasting-*")]
        (tmp_path / "mark.end").touch()
        assert client.wait_for_job(job) == "whole"
        process.terminate()
        process.wait(30)
    agents = Group(group.folder / "agent", is_new=False)  # as with `DelegateSubgroup=agent` in systemd
    with agents.agent(data, "--no-sandbox") as (process, _):
        assert f"/{group.folder.name}/agent\n" in f"{group_of(process.pid)}\n"
        assert not [*group.folder.glob("runs-*/lasting-*")]


def group_of(pid: int) -> str:
    return next(line for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::"))


FILLS = """
    def act(mebibytes):
        held = []
        for _ in range(mebibytes):
            held.append(b"x" * 2**20)
        return len(held)
    """


def test_memory_and_processes_are_bounded_by_a_control_group(group: Group, tmp_path: Path) -> None:
    """This holds for root, too: the kernel kills or refuses what exceeds the limits, and the agent continues."""
    for controller in ("memory", "pids"):
        try:
            (group.folder.parent / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            pytest.skip(f"the controller {controller} is not one of version 2 here")
    with group.agent(tmp_path / "data", "--no-sandbox", "--max-processes", "50") as (_, client):
        assert client.health_check()["sandbox"]["restricts"] == ["memory", "processes"]
        (runs,) = group.folder.glob("runs-*")
        (runs / "memory.max").write_text(str(200 * 2**20))
        for source, params, message in (
            (FILLS, {"mebibytes": 1000}, "out of memory"),
            (FORKS, {"most": 100}, "Resource temporarily unavailable"),
        ):
            with pytest.raises(ServerError, match=message):
                debug(client, source, **params)
        assert debug(client, FILLS, mebibytes=10) == 10
