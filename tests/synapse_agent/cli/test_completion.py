"""Completion, with each shell's own protocol and in a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from forked import PROGRAM, run
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.cli.completion import join_words

DRIVER = """
source "$1"
COMP_WORDS=("${@:2}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_synapse_agent_completion "synapse-agent"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(shell: str) -> str:
    """Return the script that a shell has to source."""
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [*PROGRAM, "--show-completion", shell]
    return run(command, env=environment, capture_output=True, text=True, timeout=30, check=True).stdout


def complete(shell: str, line: str) -> list[str]:
    """Return the completions of a line, by the protocol of zsh and fish."""
    environment = {
        **os.environ,
        "_SYNAPSE_AGENT_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    ended = run(
        PROGRAM,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.stderr == ""
    return [line for line in ended.stdout.splitlines() if line]


@pytest.fixture
def bash(tmp_path: Path):
    """Complete words in a real bash; the words are split as bash splits them."""
    (tmp_path / "script").write_text(script("bash"))
    (tmp_path / "driver").write_text(DRIVER)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def offered(*words: str) -> list[str]:
        command = ["bash", "--norc", tmp_path / "driver", tmp_path / "script", "synapse-agent", *words]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
        assert ended.stderr == ""
        return ended.stdout.split()

    return offered


@pytest.mark.usefixtures("known")
def test_bash_completes_what_the_agent_has(bash) -> None:
    """It completes releases, even after `@`, at which bash splits words, actions, jobs and options."""
    assert "tools@1.0.0" in bash("run", "to")
    assert bash("run", "tools", "@") == ["@1.0.0"]
    assert bash("run", "tools", "@", "1.") == ["@1.0.0"]
    assert bash("run", "tools", "@", "1.0.0", "ec") == ["echo"]
    assert bash("jobs", "st") == ["stop"]
    assert bash("run", "--para") == ["--params", "--param"]


@pytest.mark.parametrize(
    ("shell", "offer"), [("zsh", '"echo":"Gives back what it gets."'), ("fish", "echo\tGives back")]
)
@pytest.mark.usefixtures("known")
def test_other_shells_show_what_an_action_does(shell: str, offer: str) -> None:
    """zsh and fish don't split words, and show descriptions."""
    assert any(offer in line for line in complete(shell, "synapse-agent run tools@1.0.0 e"))
    assert any("tools@1.0.0" in line for line in complete(shell, "synapse-agent get to"))


def test_the_names_of_params_are_offered_once_they_are_known(known: EmbeddedAgent) -> None:
    """They are those of the action on the command line."""
    with known.client() as client:
        client.run_plugin_release("tools@1.0.0", "echo")
    assert until(lambda: complete("fish", "synapse-agent run tools@1.0.0 wait -p ")) == ["path=", "seconds="]


def test_the_scripts_are_for_their_shells() -> None:
    """bash accepts its own script; each script names the command."""
    subprocess.run(["bash", "-n"], input=script("bash"), text=True, check=True, timeout=30)
    assert script("zsh").startswith("#compdef synapse-agent")
    assert "complete --command synapse-agent" in script("fish")


def test_options_before_the_cursor_decide_on_the_agent(tools_agent: EmbeddedAgent) -> None:
    """If that agent does not answer, nothing is offered, and nothing is printed."""
    reached = f"synapse-agent get --url {tools_agent.base_url} --token {tools_agent.token} to"
    assert complete("fish", reached) == ["tools@1.0.0\tTools"]
    assert complete("fish", "synapse-agent get --url http://127.0.0.1:9 to") == []


def test_a_source_folder_has_its_own_actions(env: Path, write_plugin) -> None:
    """They are read from its config.yaml; without one there are no completions."""
    write_plugin(env / "small")
    for command in ("debug", "run"):
        assert complete("fish", f"synapse-agent {command} {env / 'small'} ") == ["go\tlocal"]
    assert complete("fish", f"synapse-agent debug {env} ") == []


def test_named_agents_are_offered(cli) -> None:
    """The description of each is its address."""
    cli("use", "lab", "--url", "http://lab.test")
    assert complete("fish", "synapse-agent use l") == ["lab\thttp://lab.test"]
    assert complete("fish", "synapse-agent list --agent ") == ["lab\thttp://lab.test"]


@pytest.mark.parametrize(
    ("words", "joined", "known"),
    [
        (["c", "run", "a"], ["c", "run", "a"], ""),
        (["c", "run", "a", "@"], ["c", "run", "a@"], "a"),
        (["c", "run", "a", "@", "1"], ["c", "run", "a@1"], "a"),
        (["c", "run", "a", "@", "1", "b"], ["c", "run", "a@1", "b"], ""),
        (["c", "list", "--url", "http", ":", "//x", ":", "80"], ["c", "list", "--url", "http://x:80"], "http://x:"),
        (["c", "list", "--plugin", "=", "x"], ["c", "list", "--plugin=x"], "--plugin="),
    ],
)
def test_words_that_bash_took_apart_are_joined(words: Sequence[str], joined: list[str], known: str) -> None:
    """The completions begin at the last part of the split word."""
    assert join_words(words, len(words) - 1) == (joined, len(joined) - 1, known)
