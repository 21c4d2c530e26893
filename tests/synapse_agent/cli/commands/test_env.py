"""`synapse-agent env`, beside an agent that runs and without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from forked import PROGRAM, run
from terminal import Terminal

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient

COMMAND = [*PROGRAM, "env"]
HERE = "import sys\ndef act():\n    return sys.prefix\n"
WAIT = """
import sys, time
from pathlib import Path
def act(started, go):
    Path(started).touch()
    while not Path(go).exists():
        time.sleep(0.005)
    return sys.prefix
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return the agent's data folder."""
    return tmp_path / "data"


@pytest.fixture
def client(plugins: Path, data: Path, tmp_path: Path) -> Iterator[AgentClient]:
    """Start an agent for the test, and yield a client of it."""
    with EmbeddedAgent(plugins, data_dir=data, allow_write=tmp_path) as agent, agent.client() as client:
        yield client


@pytest.fixture
def make(client: AgentClient) -> Callable[..., Path]:
    """Return a function that creates an environment and returns its folder."""

    def make(*requirements: str, source: str = HERE, **params: str) -> Path:
        config = {"actions": {"act": {"entrypoint": "main:act", "method": "local"}}}
        given = {"params": params, "requirements": list(requirements), "modules": {"main": source}, "config": config}
        return Path(client.run_debug_plugin_release("act", **given))

    return make


def call(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments, "--data-dir", str(data)]
    return run(command, capture_output=True, text=True, timeout=60, check=False)


def show(*arguments: str, data: Path) -> list[str]:
    with Terminal([*COMMAND, *arguments, "--data-dir", str(data)], env=os.environ, columns=200) as terminal:
        code, screen = terminal.ended()
    assert code == 0
    return screen.splitlines()


def read(*arguments: str, data: Path) -> Any:
    """Return the JSON that a command prints into a pipe, with and without --json."""
    ended = call(*arguments, data=data)
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


def age(environment: Path, *, days: float) -> None:
    """Make an environment look as if it was last used some days ago."""
    then = time.time() - days * 24 * 3600
    os.utime(environment / "last-use", (then, then))


def test_environments_are_listed(make: Callable[..., Path], data: Path) -> None:
    """A terminal gets a table, the most recently used first; a pipe gets JSON."""
    empty, small = make(), make("six>=1", "idna")
    age(empty, days=3)
    lines = show("list", data=data)
    assert lines[0].split() == ["ID", "Python", "Size", "Last", "used", "In", "use", "Requirements"]
    assert lines[1].split()[0] == small.name[:12]
    assert lines[1].endswith("  no      idna, six>=1")
    assert lines[2].split()[0] == empty.name[:12]
    assert lines[2].endswith("  no      none")
    assert lines[3].startswith("2 environments, ")
    listed = read("list", data=data)
    assert json.loads(call("list", "--json", data=data).stdout) == listed
    version = ".".join(map(str, sys.version_info[:3]))
    assert [found.pop("size") > 0 for found in listed] == [True, True]
    assert [found.pop("last_used")[10] for found in listed] == ["T", "T"]
    rest = {"python": version, "in_use": False, "usable": True}
    assert listed == [
        {"id": small.name, "requirements": ["idna", "six>=1"], **rest},
        {"id": empty.name, "requirements": [], **rest},
    ]


def test_one_in_use_is_shown_as_such_and_never_removed(make: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    """The command is not the agent's process. After the run it can remove the environment; the agent makes it again."""
    other = make()
    started, go = tmp_path / "started", tmp_path / "go"
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(make, "six", source=WAIT, started=str(started), go=str(go))
        while not started.exists():
            time.sleep(0.005)
        assert {found["id"]: found["in_use"] for found in read("list", data=data)}[other.name] is False
        pruned = read("prune", "--all", data=data)
        assert [found["id"] for found in pruned["removed"]] == [other.name]
        assert [(found["in_use"], found["requirements"]) for found in pruned["left"]] == [(True, ["six"])]
        assert " yes " in "".join(show("list", data=data))
        go.touch()
        used = run.result()
    assert used.exists()
    assert [found["id"] for found in read("prune", "--all", data=data)["removed"]] == [used.name]
    assert not used.exists()
    assert make("six") == used
    assert used.exists()


def test_removed_environments_and_the_freed_space_are_reported(make: Callable[..., Path], data: Path) -> None:
    """The least recently used are removed first, until the limit on number, size or age holds."""
    made = [make(), make("six"), make("idna")]
    for days, environment in zip((9, 6, 3), made, strict=True):
        age(environment, days=days)
    said = show("prune", "--unused-for", "7.5", data=data)
    assert said[0].split()[0] == "ID"
    assert said[1].split()[0] == made[0].name[:12]
    assert said[2].startswith("1 environment removed, ")
    assert " freed" in said[2]
    assert said[3].startswith("left: 2 environments, ")
    (removed,) = read("prune", "--max-count", "1", data=data)["removed"]
    assert removed["id"] == made[1].name
    assert removed["freed"] > 0  # less than its size if files are shared with uv's cache, more with the bytecode
    assert read("prune", "--max-size", "1GB", data=data)["removed"] == []
    assert [found["id"] for found in read("prune", "--max-size", "1k", data=data)["removed"]] == [made[2].name]
    assert show("prune", "--all", data=data) == [
        "0 environments removed, 0 B freed",
        "left: 0 environments, 0 B; 0 in use",
    ]
    assert list((data / "environments").iterdir()) == []


def test_without_a_running_agent_it_is_all_the_same(plugins: Path, data: Path) -> None:
    """It handles environments of an older agent, and data folders without environments."""
    data.mkdir()
    assert show("list", data=data) == ["0 environments, 0 B; 0 in use"]
    with EmbeddedAgent(plugins, data_dir=data) as agent, agent.client() as client:
        given = {"modules": {"main": HERE}, "config": {"actions": {"act": "main:act"}}}
        folder = Path(client.run_debug_plugin_release("act", **given))
    for name in ("environment.json", "last-use"):
        (folder / name).unlink()
    listed = show("list", data=data)
    assert listed[1].split()[1] == ".".join(map(str, sys.version_info[:3]))
    assert listed[1].endswith("  no      unknown")
    assert [found["requirements"] for found in read("prune", "--all", data=data)["removed"]] == [None]
    assert not folder.exists()
    assert list((data / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["prune"], 2, "Choose what to remove: --max-count, --max-size, --unused-for or --all."),
        (["prune", "--max-count", "-1"], 2, "--max-count"),
        (["prune", "--unused-for", "soon"], 2, "--unused-for"),
        (["prune", "--max-size", "much"], 2, "'--max-size': 'much' is not a size"),
        (["remove"], 2, "remove"),
        (["list", "--data-dir", "/no/such/folder"], 1, "Data folder /no/such/folder was not found."),
        (["prune", "--all", "--data-dir", "/no/such/folder"], 1, "Data folder /no/such/folder was not found."),
    ],
)
def test_a_usage_error_is_explained(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    """The message is on stderr, and nothing is created or removed."""
    options = [] if "--data-dir" in arguments or "remove" in arguments else ["--data-dir", str(tmp_path)]
    command = [*COMMAND, *arguments, *options]
    ended = run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in " ".join(ended.stderr.replace("│", " ").split())
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_named(data: Path) -> None:
    """The message has the reason."""
    data.mkdir()
    (data / "environments").write_text("no folder")
    ended = call("list", data=data)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == [
        f"synapse-agent: The data folder {data} cannot be used: Not a directory ({data / 'environments'}). "
        "Pass another with --data-dir."
    ]


def test_help_lists_every_option() -> None:
    """This holds for both commands."""
    for name, options in {"list": ["--json"], "prune": ["--max-count", "--max-size", "--unused-for", "--all"]}.items():
        said = run([*COMMAND, name, "--help"], capture_output=True, text=True, check=True).stdout
        assert all(option in said for option in [*options, "--data-dir"])
