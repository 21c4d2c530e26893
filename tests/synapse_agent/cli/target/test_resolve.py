"""The agent and its token come from options, the environment, a name, or this machine, in that order."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_agent.cli.failures import UsageFailure
from synapse_agent.cli.target.named_agents import Agents, NamedAgent
from synapse_agent.cli.target.resolve import Asked, Local, Target, choose_target

LAB = NamedAgent("https://lab.example.com", "lab-token")
NAMES = Agents("lab", {"lab": LAB, "bare": NamedAgent("https://bare.example.com")})
HERE = Local("http://127.0.0.1:8123", "local-token", Path("/state/token"))
ENVIRON = {"SYNAPSE_AGENT_URL": "http://env.test", "SYNAPSE_AGENT_TOKEN": "env-token"}


def choose(asked: Asked | None = None, environ: dict[str, str] | None = None, names=NAMES, here=HERE) -> Target:
    return choose_target(asked or Asked(), environ or {}, lambda: names, lambda: here)


def found(target: Target) -> tuple[str, str | None]:
    return target.url, target.token


def test_options_come_first() -> None:
    """An address, a token, or both; the environment fills in what is left out."""
    assert found(choose(Asked(url="http://x", token="t"), ENVIRON)) == ("http://x", "t")
    assert found(choose(Asked(token="t"), ENVIRON)) == ("http://env.test", "t")
    assert found(choose(Asked(url="http://x"), ENVIRON)) == ("http://x", "env-token")


def test_then_the_environment() -> None:
    """An empty variable counts as unset."""
    assert found(choose(environ=ENVIRON)) == ("http://env.test", "env-token")
    assert found(choose(environ={"SYNAPSE_AGENT_URL": "", "SYNAPSE_AGENT_TOKEN": ""})) == (LAB.url, "lab-token")
    assert found(choose(environ={"SYNAPSE_AGENT_TOKEN": "env-token"})) == (LAB.url, "env-token")


def test_then_the_named_agent_in_use() -> None:
    """The request has its token."""
    target = choose()
    assert found(target) == (LAB.url, "lab-token")
    assert (target.url_from, target.token_from) == ("the agent named lab", "the agent named lab")


def test_then_the_agent_on_this_machine() -> None:
    """The address is the one in its file, or the default."""
    assert found(choose(names=Agents())) == ("http://127.0.0.1:8123", "local-token")
    assert found(choose(names=Agents(), here=Local())) == ("http://127.0.0.1:8000", None)


def test_the_token_of_an_agent_that_is_not_served_goes_nowhere() -> None:
    """Any program may listen at the default address."""
    gone = Local(None, "local-token", Path("t"))
    assert found(choose(names=Agents(), here=gone)) == ("http://127.0.0.1:8000", None)
    asked = Asked(url="http://127.0.0.1:8000")
    assert found(choose(asked, names=Agents(), here=gone)) == ("http://127.0.0.1:8000", None)


def test_the_address_of_a_killed_agent_is_only_named() -> None:
    """Another program may listen there now."""
    target = choose(names=Agents(), here=Local(killed_url="http://127.0.0.1:8123"))
    assert target.url == "http://127.0.0.1:8000"
    assert target.url_from == "the default, since the agent served here at http://127.0.0.1:8123 was killed"


def test_a_hint_repeats_the_options_of_the_agent() -> None:
    """Otherwise it would be about another agent; commands that start or name an agent stay as they are."""
    hint = "'synapse-agent jobs logs a' has its log, 'synapse-agent list' lists, 'synapse-agent serve' starts one."
    asked = Asked(url="http://127.0.0.1:8124", token_file=Path("a token"))
    options = "--url http://127.0.0.1:8124 --token-file 'a token'"
    expected = hint.replace("agent jobs", f"agent {options} jobs").replace("agent list", f"agent {options} list")
    assert asked.repeated_in(hint) == expected
    assert (
        Asked(agent="lab").repeated_in("'synapse-agent doctor' checks") == "'synapse-agent --agent lab doctor' checks"
    )
    assert Asked(token="secret").repeated_in(hint) == hint


def test_another_agent_by_name_takes_nothing_of_the_environment() -> None:
    """It gets its own token, or no token."""
    assert found(choose(Asked(agent="lab"), ENVIRON)) == (LAB.url, "lab-token")
    assert found(choose(Asked(agent="bare"), ENVIRON)) == ("https://bare.example.com", None)
    assert found(choose(Asked(agent="bare", token="t"), ENVIRON)) == ("https://bare.example.com", "t")
    with pytest.raises(UsageFailure, match=r"Agent 'lost' was not found\. Named agents: bare, lab"):
        choose(Asked(agent="lost"))


def test_a_kept_token_never_goes_to_another_address() -> None:
    """Commands send a token only to the address that it was saved for; case and a final slash don't matter."""
    assert found(choose(Asked(url="https://evil.example.com"))) == ("https://evil.example.com", None)
    assert found(choose(environ={"SYNAPSE_AGENT_URL": "https://evil.example.com"})) == (
        "https://evil.example.com",
        None,
    )
    assert found(choose(Asked(url="https://LAB.example.com/"))) == ("https://LAB.example.com/", "lab-token")
    assert found(choose(Asked(url="http://127.0.0.1:8123"))) == ("http://127.0.0.1:8123", "local-token")
    assert found(choose(Asked(url="http://127.0.0.1:9999"))) == ("http://127.0.0.1:9999", None)


def test_a_token_comes_from_a_file(tmp_path: Path) -> None:
    """Commands remove the newline; the error for an unreadable file names it."""
    (tmp_path / "token").write_text("from-a-file\n")
    assert choose(Asked(token_file=tmp_path / "token"), ENVIRON).token == "from-a-file"
    with pytest.raises(UsageFailure, match="Pass another with --token-file"):
        choose(Asked(token_file=tmp_path / "lost"))


def test_no_repr_shows_a_token() -> None:
    """This covers the target and its sources."""
    for each in (choose(), LAB, HERE, Asked(token="asked-token")):
        assert "-token" not in repr(each)
