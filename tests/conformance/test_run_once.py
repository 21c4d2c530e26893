"""A run happens once: after any failure on the way, both clients end with its one result, or report what is unknown."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from faults import RST_ON_CLOSE
from forked import PROGRAM, Command
from proxy import Cut, Proxy
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent.clock import Clock
from synapse_sdk.exceptions import ClientResponseIncompleteError, ServerError

CONFIG = """
code: pen
version: 1.0.0
actions:
  write: {entrypoint: "pen:write", method: local}
"""
CODE = """
import time
def write(path, line, seconds=0):
    with open(path, "a") as file:
        file.write(line + "\\n")
    time.sleep(seconds)
    return line
"""

Run = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def pen(plugins: Path) -> None:
    """Write a plugin whose action writes a line into a file each time it is executed."""
    folder = plugins / "pen"
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "pen.py").write_text(CODE)


@pytest.fixture(scope="module")
def pen_agent(shared_agent: EmbeddedAgent) -> EmbeddedAgent:
    """An agent that has the plugin cached."""
    with shared_agent.client() as client:
        client.create_plugin_release("pen", "1.0.0")
    return shared_agent


@pytest.fixture
def proxy(pen_agent: EmbeddedAgent) -> Iterator[Proxy]:
    """The proxy before the agent."""
    with Proxy(pen_agent.base_url) as proxy:
        yield proxy


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    """The file that the action writes to."""
    return tmp_path / "paper"


@pytest.fixture(params=["sync", "async"])
def runner_of(request: pytest.FixtureRequest, paper: Path) -> Iterator[Callable[..., Run]]:
    """Make functions that run the action through a client of either kind."""
    with contextlib.ExitStack() as stack:

        def make(base_url: str, token: str, *, pause: float = 0.0, **options: Any) -> Run:
            loop = stack.enter_context(asyncio.Runner())
            kind = AgentClient if request.param == "sync" else AsyncAgentClient
            client = kind(base_url, token, clock=Clock(uniform=lambda _low, _high: pause), **options)

            def finish(value: Any) -> Any:
                return loop.run(value) if inspect.iscoroutine(value) else value

            stack.callback(lambda: finish(client.close() if isinstance(client, AgentClient) else client.aclose()))

            def run(line: str, **params: Any) -> Any:
                params = {"path": str(paper), "line": line, **params}
                return finish(client.run_plugin_release("pen@1.0.0", "write", params=params))

            return run

        yield make


def lines(paper: Path) -> list[str]:
    return paper.read_text().split()


def test_a_reset_at_any_byte_of_the_answer_does_no_harm(
    pen_agent: EmbeddedAgent, runner_settings: dict[str, Any], proxy: Proxy, runner_of: Callable[..., Run], paper: Path
) -> None:
    """From before the first byte to after the last: each run is executed once, and its result delivered.

    A cluster is slower, and the runner has no part in the cut connection: every eleventh byte is enough there.
    """
    run = runner_of(proxy.base_url, pen_agent.token)
    run("whole")
    step = 1 if runner_settings["runner"] == "local" else 11
    names = [f"{position:05}" for position in range(0, proxy.sizes["answer"] + 1, step)]
    for name in names:
        proxy.cut = Cut("answer", int(name))
        assert run(name) == name
        assert proxy.cut is None
    assert lines(paper) == ["whole", *names]


def test_a_reset_within_the_request_does_no_harm(
    pen_agent: EmbeddedAgent, proxy: Proxy, runner_of: Callable[..., Run], paper: Path
) -> None:
    """The reset comes within the head, within the body, or after both: executed once, result delivered."""
    run = runner_of(proxy.base_url, pen_agent.token)
    run("whole")
    size = proxy.sizes["request"]
    positions = [*range(0, size, 11), size - 1, size]
    for position in positions:
        proxy.cut = Cut("request", position)
        assert run(f"{position:05}") == f"{position:05}"
        assert proxy.cut is None
    assert lines(paper) == ["whole", *(f"{position:05}" for position in positions)]


def test_a_run_outlives_a_proxy_that_is_less_patient(
    pen_agent: EmbeddedAgent, proxy: Proxy, runner_of: Callable[..., Run], paper: Path
) -> None:
    """It is resumed as often as needed: waiting for an active run uses up no retries."""
    proxy.patience = 0.2
    run = runner_of(proxy.base_url, pen_agent.token, max_retries=2)
    assert run("long", seconds=1.2) == "long"
    assert lines(paper) == ["long"]


@contextlib.contextmanager
def served(
    plugins: Path, data: Path, port: int, runner_settings: dict[str, Any]
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """An agent in a separate process, and its base URL."""
    options = ["--plugins", str(plugins), "--data-dir", str(data), "--port", str(port)]
    options += ["--allow-write", str(plugins.parent)]  # the actions write to `paper`, which is there
    options += [part for name, value in runner_settings.items() for part in (f"--{name.replace('_', '-')}", value)]
    command = [*PROGRAM, "serve", *options]
    environment = {**os.environ, "SYNAPSE_AGENT_TOKEN": "secret"}
    with Command(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            yield process, process.stdout.readline().removeprefix("ready ").strip()
        finally:
            process.kill()


def test_a_run_that_is_lost_with_its_agent_is_not_run_again(
    plugins: Path, tmp_path: Path, runner_settings: dict[str, Any], runner_of: Callable[..., Run], paper: Path
) -> None:
    """The agent is killed during the run and restarted: the client's retry gets `agent_restarted`."""
    with ThreadPoolExecutor(1) as thread:
        with served(plugins, tmp_path / "data", 0, runner_settings) as (process, base_url):
            with AgentClient(base_url, "secret") as client:
                client.create_plugin_release("pen", "1.0.0")
            run = runner_of(base_url, "secret", pause=0.1, max_retries=300)
            running = thread.submit(run, "lost", seconds=60)
            until(paper.exists, seconds=60)
            process.send_signal(signal.SIGKILL)
        with served(plugins, tmp_path / "data", int(base_url.rpartition(":")[2]), runner_settings):
            with pytest.raises(ServerError) as caught:
                running.result(timeout=30)
            assert (caught.value.error_type, caught.value.outcome) == ("agent_restarted", "executed")
            assert lines(paper) == ["lost"]


def test_without_the_feature_a_run_is_never_sent_twice(runner_of: Callable[..., Run]) -> None:
    """If an agent does not know `idempotent-runs`, the error has the outcome `unknown`."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        thread.submit(answer_health_alone, listener, received)
        run = runner_of(f"http://127.0.0.1:{listener.getsockname()[1]}", "secret")
        with pytest.raises(ClientResponseIncompleteError) as caught:
            run("once")
        listener.shutdown(socket.SHUT_RDWR)
    assert (caught.value.outcome, len(caught.value.attempts)) == ("unknown", 1)
    assert received == [b"POST", b"GET"]


def answer_health_alone(listener: socket.socket, received: list[bytes]) -> None:
    """Reset every connection with a POST."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                received.append(connection.recv(2**16).partition(b" ")[0])
                if received[-1] == b"GET":
                    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"status":"ok"}')
                else:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
