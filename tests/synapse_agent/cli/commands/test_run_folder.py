"""`run ./folder ACTION` runs a plugin's folder without an agent."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("known", "folder")


@pytest.fixture
def folder(tmp_path: Path, write_plugin, monkeypatch) -> Path:
    """A plugin's folder in the working directory; the configured agent has no release of it."""
    functions = "go: 'main:go', fail: 'main:fail', see: 'main:see'"
    config = f"code: own\nactions: {{{functions}, train: {{entrypoint: 'main:train', method: job}}}}\n"
    main = """
        def go(name="nobody"):
            print("greeting", name)
            return f"Hello, {name}"

        def train():
            return {"loss": 0.5}

        def fail():
            raise ValueError("no")

        def see():
            import cv2
        """
    monkeypatch.chdir(tmp_path)
    return write_plugin(tmp_path / "own", {"config.yaml": config, "main.py": main})


def agents_threads() -> int:
    """Count the agents in this process, which fixtures start."""
    return [thread.name for thread in threading.enumerate()].count("synapse-agent")


@pytest.mark.parametrize("name", ["./own", "{folder}", "../{parent}/own"])
def test_a_folder_is_run_without_an_agent(cli, folder: Path, monkeypatch, name: str) -> None:
    """The command starts an agent even if another one is configured, and waits for a job."""
    path = name.format(folder=folder, parent=folder.parent.name)
    monkeypatch.setenv("SYNAPSE_AGENT_URL", "http://127.0.0.1:9")
    others = agents_threads()
    ended = cli("run", path, "go", "-p", "name=Ada")
    assert (ended.code, json.loads(ended.out), ended.err) == (0, "Hello, Ada", "greeting Ada\n")
    assert json.loads(cli("run", path, "train").out) == {"loss": 0.5}
    assert agents_threads() == others


def test_a_folder_whose_action_fails_shows_the_traceback(cli) -> None:
    """The traceback appears at once, without a hint at the log, since that agent has ended."""
    ended = cli("run", "./own", "fail")
    assert (ended.code, ended.out) == (1, "")
    first, *_, code, error, last = ended.err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert (code.strip(), error) == ('raise ValueError("no")', "ValueError: no")
    assert last == "synapse-agent: The action failed: ValueError: no."
    assert cli("run", "./own", "see").err.endswith(
        "The action failed: ModuleNotFoundError: No module named 'cv2'. Add opencv-python-headless to requirements.txt,"
        " or pass requirements=['opencv-python-headless'].\n"
    )


def test_later_commands_reuse_the_environment_and_what_the_plugin_stored(cli, folder: Path, env: Path) -> None:
    """Only jobs and their files end with a command; `check` uses the same data."""
    (folder / "config.yaml").write_text("code: own\nactions: {train: 'main:train', predict: 'main:predict'}\n")
    (folder / "main.py").write_text(
        "def train(context):\n    (context.storage / 'model').write_text('2x')\n"
        "def predict(context):\n    return (context.storage / 'model').read_text()\n"
    )
    assert cli("run", "./own", "train", "--job-id", "once").code == 0
    data = env / "XDG_STATE_HOME" / "synapse-agent-authoring" / "0"
    (environment,) = (data / "environments").iterdir()
    assert not (data / "jobs").exists()
    assert json.loads(cli("run", "./own", "predict", "--job-id", "once").out) == "2x"
    assert cli("check", "./own").code == 0
    assert [*(data / "environments").iterdir()] == [environment]


def test_what_does_not_go_with_a_folder_is_refused(cli) -> None:
    """It can't run on another agent or in the background; for a bare name, the message has the right lookup."""
    for arguments, said in (
        (["--url", "http://127.0.0.1:9", "run", "./own", "go"], "--url does not work with a folder"),
        (["run", "./own", "go", "--background"], "--background is for releases"),
        (["run", "own", "go"], "To run the folder, use ./own."),
        (["run", "./nothing", "go"], "nothing is not a folder."),
        (["run", ".", "go"], ". has no config.yaml."),
    ):
        ended = cli(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err


def test_a_config_of_another_name_is_named(cli, tmp_path: Path) -> None:
    """This holds for every command that takes a folder."""
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.yml").touch()
    for command in (
        ["run", "./odd", "go"],
        ["check", "odd"],
        ["dev", "odd", "go"],
        ["push", "odd"],
        ["debug", "odd", "go"],
    ):
        assert "odd has no config.yaml; rename its config.yml to config.yaml." in cli(*command).err
