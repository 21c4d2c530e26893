"""Programs that start without standard input, output or error, or with a full device."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from synapse_agent.storage.address_file import kept_address
from synapse_sdk.clients.agent import AgentClient

FULL = Path("/dev/full")
EMBEDDED = """
import sys
from synapse_agent import EmbeddedAgent
with EmbeddedAgent(sys.argv[1]) as agent, agent.client() as client:
    client.create_plugin_release("small", "1.0.0")
    result = client.run_plugin_release("small@1.0.0", "go")
open(sys.argv[2], "w").write(result)
"""

Serve = Callable[[str], tuple[subprocess.Popen[bytes], str]]


@pytest.fixture
def small(tmp_path: Path, write_plugin: Callable[..., Path]) -> Path:
    write_plugin(tmp_path / "plugins" / "small")
    return tmp_path / "plugins"


@pytest.fixture
def serve(tmp_path: Path, small: Path) -> Iterator[Serve]:
    """Serve an agent from a shell, whose redirections close streams or send them to a full device."""
    with ExitStack() as stack:

        def start(redirections: str) -> tuple[subprocess.Popen[bytes], str]:
            data = tmp_path / "data"
            command = f'exec "$@" {redirections}'
            arguments = ["-m", "synapse_agent", "serve", "--plugins", str(small), "--port", "0"]
            agent = stack.enter_context(
                subprocess.Popen(
                    ["sh", "-c", command, "sh", sys.executable, *arguments, "--data-dir", str(data), "--no-token"],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            stack.callback(agent.kill)
            end = time.monotonic() + 30
            while (address := kept_address(data)) is None:
                assert agent.poll() is None, agent.communicate()
                assert time.monotonic() < end
                time.sleep(0.02)
            return agent, address

        yield start


@pytest.mark.parametrize(
    "closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"]
)
def test_an_agent_serves_whatever_its_standard_streams_are(serve: Serve, closed: str) -> None:
    """The agent starts, runs an action with its own log, and ends normally, even if a stream is full."""
    agent, address = serve(closed)
    with AgentClient(address) as client:
        client.create_plugin_release("small", "1.0.0")
        assert client.run_plugin_release("small@1.0.0", "go") == "small@1.0.0"
    agent.send_signal(signal.SIGTERM)
    said = agent.communicate(timeout=30)[1].decode()
    assert agent.returncode == 0
    assert "Traceback" not in said
    if closed == ">/dev/full":
        assert f"`ready {address}` could not be written to standard output: No space left on device." in said


def test_an_embedded_agent_works_in_a_program_without_descriptors(tmp_path: Path, small: Path) -> None:
    """A daemon may have closed all three: the agent's files must not get these numbers, which every run replaces."""
    result = tmp_path / "result"
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", EMBEDDED, str(small), str(result)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
    assert result.read_text() == "small@1.0.0"


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["run", "--help"]])
def test_a_command_that_cannot_print_reports_it_in_a_line(tmp_path: Path, arguments: list[str]) -> None:
    """For a full device it prints one line on stderr, if that is not full, too; the exit code is 1."""
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "synapse_agent", *arguments]
    with FULL.open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environ, check=False, text=True)
        assert ended.returncode == 1
        assert ended.stderr == "synapse-agent: The output could not be written: No space left on device.\n"
        assert subprocess.run(command, stdout=full, stderr=full, env=environ, check=False).returncode == 1


def test_a_command_without_standard_output_does_its_work() -> None:
    """Its output is discarded, as with `>/dev/null`."""
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "synapse_agent", "--version"]
    ended = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
