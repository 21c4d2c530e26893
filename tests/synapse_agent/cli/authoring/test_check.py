"""`check` reports what `create` and a first run would report, without running anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk.exceptions import ValidationError

ENTRYPOINTS = """
    code: odd
    retries: 3
    actions:
      fine: {entrypoint: "main:fine"}
      lost: {entrypoint: "main:lost"}
      missing: {entrypoint: "needs:act"}
      value: {entrypoint: "main:VALUE"}
      empty: {entrypoint: "main:Empty"}
      leaves: {entrypoint: "leaves:act"}
      page: {entrypoint: "main:fine", method: restapi}
      nothing: {method: task}
    """
MODULES = {
    "main.py": "VALUE = 3\nclass Empty: pass\ndef fine(x: int, y='1'):\n    print('it ran')\n",
    "needs.py": "import cv2\ndef act(): pass\n",
    "leaves.py": "raise SystemExit(3)\n",
}
FAULTS = {
    "lost": "entrypoint 'main:lost': 'main' has no 'lost'; it has Empty, fine",
    "missing": "ModuleNotFoundError: No module named 'cv2'. Add opencv-python-headless to requirements.txt, or pass",
    "value": "The entrypoint cannot be called: it names int 3, which is neither a function nor a class.",
    "empty": "The entrypoint cannot be called: the class 'Empty' has none of these: a method 'empty',",
    "leaves": "SystemExit: 3",
    "page": "action 'page' has method 'restapi', which this agent does not support",
    "nothing": "config.yaml: `actions.nothing.entrypoint` is missing",
}


def found(ended: Any) -> list[tuple[str, str, str]]:
    return [(each["check"], each["status"], each["found"]) for each in json.loads(ended.out)]


def test_every_fault_of_a_plugin_is_named_at_once(cli, tmp_path: Path, write_plugin) -> None:
    """Each action has the faults that its run would report; keys without effect are warnings."""
    folder = write_plugin(tmp_path / "odd", {"config.yaml": ENTRYPOINTS, **MODULES})
    ended = cli("check", str(folder))
    assert ended.code == 1
    findings = found(ended)
    assert findings[0] == ("release", "ok", "odd@0.1.0 can be cached")
    assert findings[1][:2] == ("release", "warning")
    assert findings[1][2].startswith("config.yaml: 'retries' has no effect")
    assert ("environment", "ok", "its requirements can be installed") in findings
    assert ("action fine", "ok", "can be called with x, y") in findings
    faults = {check.removeprefix("action "): text for check, status, text in findings if status == "fault"}
    assert faults.keys() == FAULTS.keys()
    for name, text in FAULTS.items():
        assert faults[name].startswith(text)
    assert 'File "needs.py", line 1' in ended.err
    assert "it ran" not in ended.err


def test_a_run_complains_about_the_same(cli, tmp_path: Path, write_plugin) -> None:
    """The messages are the same: `check` reports nothing that a run would accept."""
    folder = write_plugin(tmp_path / "odd", {"config.yaml": ENTRYPOINTS, **MODULES})
    faults = {check: text for check, status, text in found(cli("check", str(folder))) if status == "fault"}
    with EmbeddedAgent(folder) as agent, agent.client() as client:
        client.create_plugin_release("odd", "0.1.0")
        for name in ("lost", "missing", "value", "empty", "page", "nothing"):
            with pytest.raises(Exception) as caught:  # noqa: PT011 - some are refusals, some failed actions
                client.run_plugin_release("odd@0.1.0", name, params={})
            assert caught.value.message == faults[f"action {name}"]


def test_what_create_refuses_is_all_there_is(cli, tmp_path: Path, write_plugin) -> None:
    """The other checks need a release."""
    for number, (files, said) in enumerate(
        (
            ({"config.yaml": "code: a\nactions: [\n"}, "config.yaml is not YAML"),
            ({"config.yaml": "code: a\nenv: {A: [1]}\n"}, "env.A"),
            ({"config.yaml": "code: a\n", "requirements.txt": "six\n-r ../all.txt\n"}, "requirements.txt, line 2"),
        )
    ):
        folder = write_plugin(tmp_path / str(number) / "a", files)
        ended = cli("check", str(folder))
        ((check, status, text),) = found(ended)
        assert (ended.code, check, status) == (1, "release", "fault")
        assert said in text
        with EmbeddedAgent(folder) as agent, agent.client() as client, pytest.raises(ValidationError):
            client.create_plugin_release("a", "0.1.0")


def test_what_it_requires_is_installed(cli, tmp_path: Path, write_plugin) -> None:
    """If that fails, the message has the installer's output; imports find the installed packages."""
    config = {"config.yaml": "code: a\nactions: {go: 'main:go'}\n", "main.py": "import six\ndef go(): pass\n"}
    fine = write_plugin(tmp_path / "fine", {**config, "requirements.txt": "six\n"})
    assert [status for _, status, _ in found(cli("check", str(fine)))] == ["ok"] * 3
    no_such = write_plugin(tmp_path / "no-such", {**config, "requirements.txt": "six==99\n"})
    ended = cli("check", str(no_such))
    assert [(check, status) for check, status, _ in found(ended)] == [("release", "ok"), ("environment", "fault")]
    assert "six==99" in ended.out


def test_a_plugin_as_it_should_be_is_well(cli, tmp_path: Path, write_plugin) -> None:
    """The exit code is 0; a folder that is not a plugin is a usage error."""
    assert cli("check", str(write_plugin(tmp_path / "small"))).code == 0
    assert "no config.yaml" in cli("check", str(tmp_path)).err
    empty = write_plugin(tmp_path / "empty", {"config.yaml": "code: a\n"})
    assert "has no actions" in cli("check", str(empty)).out
