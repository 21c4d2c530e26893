"""The environment variables that the operator provides to actions."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.errors import StartError, UsageError
from synapse_agent.plugins.action_env import ActionEnv
from synapse_agent.problems import Problem
from synapse_agent.runner.processes.environ import resolved
from synapse_sdk.exceptions import ValidationError

MAIN = "import os\n\ndef go(names):\n    return {name: os.environ.get(name) for name in names}\n"
SECRET = "hunter2-and-more"


def test_entries_are_for_all_plugins_or_for_one(tmp_path: Path) -> None:
    """The command line takes precedence over a file, and a plugin's own value over that for all."""
    file = tmp_path / "env"
    file.write_text("# tokens\n\nA=file\np:C=x=y\nOWN\n")
    file.chmod(0o600)
    env = ActionEnv.of(["A=line", "p:A=", "q:r:B=2"], [file], environ={"OWN": "mine"})
    assert env.for_run("other", is_debug=False) == {"A": "line", "OWN": "mine"}
    assert env.for_run("p", is_debug=False) == {"A": "", "C": "x=y", "OWN": "mine"}
    assert env.for_run("q:r", is_debug=False)["B"] == "2"
    assert env.for_run("p", is_debug=True) == {"A": "line", "OWN": "mine"}
    assert "line" not in repr(env)


@pytest.mark.parametrize("entry", ["=x", "1A=x", "A B=x", "p:=x", "A-B", f"a.b={SECRET}"])
def test_an_entry_of_another_form_is_refused_without_its_value(entry: str) -> None:
    """So is the name of a variable that the agent's own environment lacks."""
    with pytest.raises(UsageError, match="--action-env: ") as caught:
        ActionEnv.of([entry], [], environ={})
    assert SECRET not in str(caught.value)
    with pytest.raises(UsageError, match="the agent's own environment has no MISSING"):
        ActionEnv.of(["MISSING"], [], environ={})


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The message has the command that protects the file; an error in a line has its number."""
    file = tmp_path / "env"
    file.write_text(f"A=1\nA B={SECRET}\n")
    file.chmod(0o640)
    with pytest.raises(StartError, match=r"can be read by others\. Protect it: chmod 600"):
        ActionEnv.of([], [file], environ={})
    file.chmod(0o600)
    with pytest.raises(UsageError, match="env, line 2: 'A B' is not of the form") as caught:
        ActionEnv.of([], [file], environ={})
    assert SECRET not in str(caught.value)
    with pytest.raises(StartError, match="cannot be read"):
        ActionEnv.of([], [tmp_path / "none"], environ={})


def test_a_reference_to_what_is_not_there_is_named() -> None:
    """`$$` and single dollars are not references; the run resolves its own variables."""
    env = {"A": "${HOME}/x${GIVEN}", "B": "$${MISSING} $MISSING ${}", "C": "<${GIVEN}>"}
    assert resolved(env, {"GIVEN": "1"}) == ({"B": "${MISSING} $MISSING ${}", "C": "<1>"}, {"A": "${HOME}/x${GIVEN}"})
    with pytest.raises(Problem, match=r"env\.A in config\.yaml refers to \$\{MISSING\}") as caught:
        resolved({"A": "x${MISSING}"}, {"GIVEN": "1"})
    assert (caught.value.status, caught.value.error_type) == (422, "invalid_plugin")


def test_actions_get_the_variables_and_nothing_else_shows_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither log nor record has them; `env` in config.yaml can refer to them and to the run's folders."""
    caplog.set_level(logging.DEBUG)
    folder = tmp_path / "plugins" / "p"
    folder.mkdir(parents=True)
    env = {
        "MODEL": "${SYNAPSE_STORAGE_DIR}/model",
        "AUTHORIZATION": "Bearer ${TOKEN}",
        "SCRATCH": "${TMPDIR}/x",
        "TOKEN": "the plugin's",
        "TEXT": "$${TOKEN}",
    }
    config = {"code": "p", "version": "1", "env": env, "actions": {"go": "main:go"}}
    (folder / "config.yaml").write_text(json.dumps(config))
    (folder / "main.py").write_text(MAIN)
    given = (f"TOKEN={SECRET}", "p:ONLY=p's")
    with EmbeddedAgent(tmp_path / "plugins", action_env=given) as agent, agent.client() as client:
        client.create_plugin_release("p", "1")
        names = [*env, "ONLY", "SYNAPSE_STORAGE_DIR", "TMPDIR"]
        found = client.run_plugin_release("p@1", "go", {"names": names})
        assert found["TOKEN"] == SECRET
        assert found["AUTHORIZATION"] == f"Bearer {SECRET}"
        assert (found["TEXT"], found["ONLY"]) == ("${TOKEN}", "p's")
        assert found["MODEL"] == f"{found['SYNAPSE_STORAGE_DIR']}/model"
        assert found["SCRATCH"] == f"{found['TMPDIR']}/x"
        debug = client.run_debug_plugin_release("go", {"names": ["ONLY"]}, config=config, modules={"main": MAIN})
        assert debug == {"ONLY": None}
        missing = {**config, "env": {"KEY": "${ELSEWHERE}"}}
        with pytest.raises(ValidationError, match=r"env\.KEY in config\.yaml refers to \$\{ELSEWHERE\}"):
            client.run_debug_plugin_release("go", {"names": []}, config=missing, modules={"main": MAIN})
        jobs = [{**client.get_job(job["job_id"]), "result": None} for job in client.list_jobs()]
    assert SECRET not in json.dumps(jobs)
    assert SECRET not in caplog.text
