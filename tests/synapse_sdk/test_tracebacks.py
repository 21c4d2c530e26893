"""The traceback of an uncaught error, in scripts and in notebooks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ClientConnectionError

ROOT = Path(__file__).parents[2]
RUN = """
    import sys
    from synapse_sdk.clients.agent import AgentClient

    def main(client):
        plugin = {"config": {"actions": {"act": "main:act"}}, "modules": {"main": "def act(x):\\n    return 1 / x\\n"}}
        return client.run_debug_plugin_release("act", {"x": 0}, **plugin)

    main(AgentClient(sys.argv[1], sys.argv[2]))
    """
REMOTE = """
The action's own traceback, on the agent:

Traceback (most recent call last):
  File "main.py", line 2, in act
    return 1 / x
           ~~^~~
ZeroDivisionError: division by zero
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A program with two frames that calls a failing action."""
    path = tmp_path / "script.py"
    path.write_text(dedent(RUN))
    return path


def test_a_script_shows_its_own_frames_and_the_action_s(script: Path) -> None:
    """It shows the client's method and the raising line, but no other frame of the client."""
    with EmbeddedAgent([]) as agent:
        command = [sys.executable, str(script), agent.base_url, agent.token or ""]
        shown = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert shown.endswith(REMOTE)
    ours, _, error = shown.removesuffix(REMOTE).rpartition("synapse_sdk.exceptions.")
    assert error.startswith("ActionFailedError: 500 action_failed: ZeroDivisionError: division by zero")
    files = [line.split('"')[1] for line in ours.splitlines() if line.startswith("  File ")]
    assert files[:2] == [str(script)] * 2
    assert [Path(file).name for file in files[2:]] == ["plugin.py", "session.py"]


NOTEBOOK = """
    import io, sys
    from contextlib import redirect_stdout

    def show(paths, script, arguments):
        sys.path[:0] = paths
        sys.argv[1:] = arguments
        from IPython.core.interactiveshell import InteractiveShell

        shell = InteractiveShell.instance(colors="nocolor")
        with redirect_stdout(io.StringIO()) as shown:
            shell.run_cell(script)
        return shown.getvalue()
    """


def test_a_notebook_shows_its_own_frames_and_the_action_s(script: Path) -> None:
    """IPython would show many lines of every frame. The agent installs it, and runs it as an action."""
    with EmbeddedAgent([]) as agent, agent.client() as client:
        shown = client.run_debug_plugin_release(
            "show",
            {
                "paths": [f"{ROOT}/src", f"{ROOT}/generated"],
                "script": script.read_text(),
                "arguments": [agent.base_url, agent.token],
            },
            config={"actions": {"show": "notebook:show"}},
            modules={"notebook": dedent(NOTEBOOK)},
            requirements=["ipython", "httpx", "attrs"],
        )
    assert shown.endswith(REMOTE)
    functions = [line.split(", in ")[1] for line in shown.splitlines() if line.startswith("  File ")]
    assert functions == ["<module>", "main", "act"]
    assert len(shown.splitlines()) < 20


def test_the_cause_of_an_error_stays() -> None:
    """Only frames of the library are removed."""
    with (
        AgentClient("http://127.0.0.1:1", "t", max_retries=0) as client,
        pytest.raises(ClientConnectionError) as caught,
    ):
        client.list_jobs()
    assert caught.value.__cause__ is not None
    assert len(caught.traceback) == 3
