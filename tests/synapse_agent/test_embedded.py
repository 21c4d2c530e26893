"""The embedded agent as a context manager."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from keepers import keepers

from synapse_agent import EmbeddedAgent
from synapse_agent.settings import StartError

ClientOf = Callable[[EmbeddedAgent], httpx.Client]


def children_of(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except FileNotFoundError:  # the thread has just ended
        return []


def traces() -> tuple[set[str], list[str], set[str]]:
    """Return the threads, descriptors and children of this process."""
    descriptors = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
    children = {child for task in Path("/proc/self/task").iterdir() for child in children_of(task)}
    kinds = sorted(descriptor.partition(":")[0] for descriptor in descriptors)
    return {thread.name for thread in threading.enumerate()}, kinds, children


def use(agent: EmbeddedAgent) -> None:
    """Create a release and run it, over connections that are closed afterwards."""
    with httpx.Client(base_url=agent.base_url, headers={"Authorization": agent.token}, trust_env=False) as http:
        http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"}).raise_for_status()
        assert http.post("/plugin_releases/1/run/", json={"action": "echo", "params": {"value": 1}}).json() == 1


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary folders during the test."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_nothing_is_left_when_the_block_ends(plugins: Path, temporary: Path) -> None:
    """No thread, descriptor, child or temporary folder is left, even after repeated use."""
    with EmbeddedAgent(plugins) as agent:
        use(agent)
    gc.collect()  # otherwise sockets of earlier tests could be closed during this one
    before = traces()
    for _ in range(3):
        with EmbeddedAgent(plugins) as agent:
            use(agent)
    assert traces() == before
    assert keepers(temporary) == []
    assert list(temporary.iterdir()) == []


def test_nothing_is_left_when_the_block_raises(plugins: Path, temporary: Path) -> None:
    """The exception is raised unchanged."""
    before = traces()
    with pytest.raises(ZeroDivisionError), EmbeddedAgent(plugins):
        raise ZeroDivisionError
    assert traces()[0] == before[0]
    assert traces()[2] == before[2]
    assert list(temporary.iterdir()) == []


def test_a_failure_to_start_comes_out_and_leaves_nothing(temporary: Path) -> None:
    """The caller's thread gets a `StartError`."""
    before = traces()
    agent = EmbeddedAgent("/no/such/folder")
    with pytest.raises(StartError, match="/no/such/folder"):
        agent.__enter__()
    assert traces() == before
    assert list(temporary.iterdir()) == []


def test_a_failure_after_it_listens_comes_out_and_leaves_nothing(
    plugins: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener is closed: left open, it would keep the agent's event loop from closing, and the thread alive."""

    def refused(_: int) -> None:
        raise OSError("no more descriptors")

    monkeypatch.setattr("synapse_agent.embedded.port_withheld", refused)
    before = traces()
    with pytest.raises(OSError, match="no more descriptors"):
        EmbeddedAgent(plugins).__enter__()
    assert traces() == before
    assert list(temporary.iterdir()) == []


@pytest.mark.anyio
async def test_an_agent_runs_beside_an_event_loop(plugins: Path) -> None:
    """`async with` does not block the loop, and leaves nothing behind."""
    before = traces()
    async with EmbeddedAgent(plugins) as agent:
        async with httpx.AsyncClient(base_url=agent.base_url, headers={"Authorization": agent.token}) as http:
            answers = await asyncio.gather(*[http.get("/jobs/") for _ in range(5)])
        assert {answer.status_code for answer in answers} == {200}
    assert traces()[0] == before[0]
    with pytest.raises(StartError):
        async with EmbeddedAgent("/no/such/folder"):
            pass


@pytest.mark.anyio
async def test_a_start_that_is_cancelled_leaves_nothing(plugins: Path, temporary: Path) -> None:
    """This holds before and after the agent has started."""
    before = threading.active_count()
    for delay in (0, 0.001, 0.01):
        starting = asyncio.create_task(EmbeddedAgent(plugins).__aenter__())
        await asyncio.sleep(delay)
        starting.cancel()
        try:
            agent = await starting
        except asyncio.CancelledError:
            continue
        await agent.__aexit__(None, None, None)
    assert (threading.active_count(), os.listdir(temporary)) == (before, [])  # noqa: PTH208 - no loop to block here


def test_several_agents_run_in_one_process(plugins: Path) -> None:
    """Each has its own address, token, releases and jobs."""
    with EmbeddedAgent(plugins) as one, EmbeddedAgent([plugins]) as other:
        assert one.base_url != other.base_url
        assert one.token != other.token
        use(one)
        use(other)
        wrong = httpx.get(f"{one.base_url}/jobs/", headers={"Authorization": other.token}, trust_env=False)
        assert wrong.status_code == 401


def test_a_data_folder_is_kept_and_a_token_is_used(plugins: Path, tmp_path: Path, client_of: ClientOf) -> None:
    """The next agent on the folder finds the cached releases; two agents at once are refused."""
    with EmbeddedAgent(plugins, data_dir=tmp_path / "data", token="chosen") as agent:
        assert agent.token == "chosen"
        use(agent)
        with pytest.raises(StartError, match="belongs to another running agent"):
            EmbeddedAgent(plugins, data_dir=tmp_path / "data").__enter__()
    with EmbeddedAgent(plugins, data_dir=tmp_path / "data") as agent:
        assert client_of(agent).get("/plugin_releases/tools@1.0.0").status_code == 200


def test_paths_can_be_text_and_a_single_one(plugins: Path, tmp_path: Path) -> None:
    """This covers each setting whose type is a path or several paths."""
    variables = tmp_path / "variables"
    variables.write_text("GREETING=hello\n")
    variables.chmod(0o600)
    (tmp_path / "storage").mkdir()
    with EmbeddedAgent(str(plugins), storage_dir=str(tmp_path / "storage"), action_env_files=str(variables)) as agent:
        use(agent)
    assert [each.name for each in (tmp_path / "storage").iterdir()] == ["tools"]


def test_an_agent_that_does_not_run_is_an_error(plugins: Path) -> None:
    """Using `base_url` outside the block, or nesting the block, is the caller's error."""
    agent = EmbeddedAgent(plugins)
    with pytest.raises(RuntimeError, match="context manager"):
        _ = agent.base_url
    with agent, pytest.raises(RuntimeError, match="already"):
        agent.__enter__()
    with pytest.raises(StartError, match="token"):
        EmbeddedAgent(plugins, token="two words")


def test_a_notebook_starts_and_stops_it(plugins: Path, temporary: Path) -> None:
    """Two cells are enough; the displayed agent shows its address and plugins, but no token."""
    agent = EmbeddedAgent(plugins)
    assert repr(agent) == f"<EmbeddedAgent not running, plugins: {plugins}>"
    assert agent.start() is agent
    assert repr(agent) == f"<EmbeddedAgent {agent.base_url}, plugins: {plugins}>"
    with agent.client() as client:
        assert client.health_check()["status"] == "ok"
    agent.stop()
    agent.stop()  # a user may run a cell twice
    assert repr(agent).startswith("<EmbeddedAgent not running")
    assert list(temporary.iterdir()) == []
    agent.start().stop()


def test_clients_come_with_address_and_token(plugins: Path) -> None:
    """`client()` returns an `AgentClient` that works."""
    with EmbeddedAgent(plugins) as agent, agent.client() as client:
        assert client.health_check()["status"] == "ok"
        assert client.create_plugin_release("tools", "1.0.0")["plugin"] == "tools"


@pytest.mark.anyio
async def test_async_clients_come_with_address_and_token(plugins: Path) -> None:
    """`async_client()` returns an `AsyncAgentClient` that works."""
    async with EmbeddedAgent(plugins) as agent, agent.async_client() as client:
        assert (await client.health_check())["status"] == "ok"


def in_a_fork(work: Callable[[], object]) -> None:
    """Call a function in a forked process, and return whether it succeeded."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_keeps_nothing_of_the_agents(plugins: Path, tmp_path: Path) -> None:
    """It outlives the agent: then the folder is free, the port refuses, and connections have ended."""
    gone, go = os.pipe()
    with EmbeddedAgent(plugins, data_dir=tmp_path / "data") as agent, httpx.Client(trust_env=False, timeout=60) as http:
        address = agent.base_url
        assert http.get(f"{address}/health/").status_code == 200
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(gone, 1)
            os._exit(0)
        try:
            assert http.get(f"{address}/health/").status_code == 200
            agent.__exit__(None, None, None)
            with pytest.raises(httpx.TransportError):
                http.get(f"{address}/health/", timeout=5)
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{address}/health/", timeout=5, trust_env=False)
            with EmbeddedAgent(plugins, data_dir=tmp_path / "data") as second:
                use(second)
            agent.__enter__()
        finally:
            os.close(go)
            os.close(gone)
            os.waitpid(child, 0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_uses_the_agent_and_does_not_end_it(plugins: Path, tmp_path: Path) -> None:
    """The child neither ends it by leaving the block nor by exiting."""
    with EmbeddedAgent(plugins, data_dir=tmp_path / "data") as agent:
        in_a_fork(lambda: use(agent))
        in_a_fork(lambda: agent.__exit__(None, None, None))
        file = (tmp_path / "of-the-program").open("w+")
        in_a_fork(lambda: file.write("still open") and file.flush())
        assert (tmp_path / "of-the-program").read_text() == "still open"
        file.close()
        use(agent)


NEVER_CLOSED = """
import os, signal, sys, threading
from contextlib import suppress
from synapse_agent import EmbeddedAgent
from synapse_sdk.exceptions import ClientError
agent = EmbeddedAgent(sys.argv[1]).__enter__()
with agent.client() as client:
    client.create_plugin_release("tools", "1.0.0")
    def run():
        with suppress(ClientError):
            client.run_plugin_release("tools@1.0.0", "wait", params={"path": sys.argv[2]})
    threading.Thread(target=run, daemon=True).start()
    while not os.path.exists(sys.argv[2] + ".started"):
        pass
    os.kill(os.getpid(), int(sys.argv[3]))
"""


@pytest.mark.parametrize("number", [0, signal.SIGKILL], ids=["ends", "is killed"])
def test_an_agent_that_is_never_closed_leaves_nothing(plugins: Path, tmp_path: Path, number: int) -> None:
    """Its run and folder are removed when its program ends or, after a kill, when another agent starts."""
    (tmp_path / "tmp").mkdir()
    own = tmp_path / "own"
    environ = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    script = NEVER_CLOSED.replace("(sys.argv[1])", f"(sys.argv[1], allow_write={str(tmp_path)!r})")
    command = [sys.executable, "-c", script, str(plugins), str(own), str(number)]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (-number, "")
    if number:
        (left,) = (tmp_path / "tmp").iterdir()
        os.utime(left / "lock", (0, 0))
        again = "from synapse_agent import EmbeddedAgent as E; E().__enter__().__exit__(None, None, None)"
        subprocess.run([sys.executable, "-c", again], env=environ, check=True, timeout=60)
    assert list((tmp_path / "tmp").iterdir()) == []
