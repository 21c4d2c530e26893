"""`use`, `health` and `open`: agents' names in a file, an agent's health, and its page."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import httpx
import pytest

from synapse_agent import EmbeddedAgent


@pytest.fixture
def file(env: Path) -> Path:
    """The file of names."""
    return env / "XDG_CONFIG_HOME" / "synapse-agent" / "agents.json"


def test_an_agent_gets_a_name_and_is_used(cli, tools_agent: EmbeddedAgent, tmp_path: Path, file: Path) -> None:
    """Later commands use it; its token is only in the file, which only its owner can read."""
    (tmp_path / "token").write_text(tools_agent.token)
    named = cli("use", "lab", "--url", tools_agent.base_url, "--token-file", str(tmp_path / "token"))
    assert (named.code, named.out) == (0, "")
    assert named.err == f"Commands now talk to lab, {tools_agent.base_url}, with a token.\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["agents"]["lab"]["token"] == tools_agent.token
    assert cli("list").code == 0
    shown = [cli("use"), cli("use", "lab", "--json"), cli("doctor"), cli("health")]
    assert not any(tools_agent.token in each.out + each.err for each in shown)


def test_names_are_listed_changed_and_forgotten(cli, file: Path) -> None:
    """Without a name, `use` lists; with a known name it selects that agent, or changes its token."""
    cli("use", "one", "--url", "http://one.test", "--token", "1")
    cli("use", "two", "--url", "http://two.test")
    assert json.loads(cli("use").out) == [
        {"name": "one", "url": "http://one.test", "has_token": True, "current": False},
        {"name": "two", "url": "http://two.test", "has_token": False, "current": True},
    ]
    assert cli("use", "one").err == "Commands now talk to one, http://one.test, with a token.\n"
    cli("use", "two", "--token", "2")
    assert json.loads(file.read_text())["agents"]["two"] == {"url": "http://two.test", "token": "2"}
    assert cli("use", "two", "--remove").err == "Removed two.\n"
    assert json.loads(file.read_text()) == {
        "current": None,
        "agents": {"one": {"url": "http://one.test", "token": "1"}},
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["lost"],
            "Agent 'lost' was not found. Named agents: none yet. Add it with 'synapse-agent use lost --url URL'.",
        ),
        (["lost", "--token", "t"], "Agent 'lost' was not found"),
        (["lost", "--remove"], "Agent 'lost' was not found"),
        (["--url", "http://x"], "Add the agent's name"),
        (["lab", "--url", "lab.example.com"], "must look like https://agent.example.com"),
        (["lab", "--url", "http://x", "--token", "two words\n"], "access_token can't be sent as a header"),
        (["lab", "--url", "http://x", "--token", "t", "--token-file", "f"], "Use either --token or --token-file."),
        (["lab", "--url", "http://x", "--remove"], "--remove takes a name and no other option."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_named(cli, file: Path, arguments: list[str], said: str) -> None:
    """Exit code 2, one line, and nothing is written."""
    wrong = cli("use", *arguments)
    assert (wrong.code, wrong.out) == (2, "")
    assert said in wrong.err
    assert len(wrong.err.splitlines()) == 1
    assert not file.exists()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"agents": []}',
        '{"agents": {"a": {}}}',
        '{"current": "a"}',
        '{"agents": {"a": {"url": "u", "token": 1}}}',
    ],
)
def test_a_file_that_is_broken_is_named(cli, file: Path, content: str) -> None:
    """The file is left unchanged."""
    file.parent.mkdir(parents=True)
    file.write_text(content)
    broken = cli("list")
    assert (broken.code, broken.out) == (2, "")
    assert broken.err.startswith(f"synapse-agent: The file {file} cannot be read: ")
    assert broken.err.endswith("Fix it, or remove it and name your agents again.\n")
    assert file.read_text() == content


def test_a_file_that_others_can_read_is_pointed_out(cli, tools_agent: EmbeddedAgent, file: Path) -> None:
    """The warning has the fix, and appears at each use of the token; `doctor` reports it, too."""
    cli("use", "lab", "--url", tools_agent.base_url, "--token", tools_agent.token)
    file.chmod(0o644)
    assert f"chmod 600 {file}" in cli("list").err
    assert f"chmod 600 {file}" in cli("doctor").out


def test_health_needs_no_token(cli, tools_agent: EmbeddedAgent) -> None:
    """The answer is JSON; stderr names the agent."""
    asked = cli("health", "--url", tools_agent.base_url)
    assert json.loads(asked.out)["status"] == "ok"
    assert asked.err == f"{tools_agent.base_url} (--url)\n"


def test_the_page_is_opened_signed_in(cli, known: EmbeddedAgent, tmp_path: Path, monkeypatch) -> None:
    """The address has a code that works once; without a browser, it is printed."""
    opener = tmp_path / "opener"
    opener.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    opener.chmod(0o700)
    monkeypatch.setenv("BROWSER", str(opener))
    monkeypatch.setattr(webbrowser, "_tryorder", None)  # the module looks for browsers only once
    opened = cli("open")
    assert (opened.code, opened.out, opened.err) == (0, "", f"Opened {known.base_url}.\n")
    address, _, code = (tmp_path / "opened").read_text().strip().partition("#code=")
    assert address == f"{known.base_url}/"
    for status in (200, 401):
        assert httpx.post(f"{address}session/", json={"code": code}, trust_env=False).status_code == status
    printed = cli("open", "--print").out
    assert printed.startswith(f"{known.base_url}/#code=")
    assert code not in printed
    monkeypatch.setattr(webbrowser, "_tryorder", [])
    failed = cli("open")
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.startswith(f"synapse-agent: No browser could be started. Open {known.base_url}/#code=")
