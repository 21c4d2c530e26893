"""The mistakes of `mistakes.txt`: each ends with one line that has the right command."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from synapse_agent import EmbeddedAgent
from synapse_agent.cli.mistakes import near_releases
from synapse_sdk import __version__

SHEET = Path(__file__).with_name("mistakes.txt").read_text(encoding="utf-8")
MISTAKES = re.findall(r"^\$ (.+)\n(\d+) (.+)$", SHEET, re.M)
PLUGINS = Path(__file__).parents[3] / "examples" / "plugins"
NOT_FOR_EVERYONE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}|Idempotency|request.id", re.I)
"""Idempotency keys and request IDs, which only --verbose prints."""


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Values for the words in braces: of an agent with a release and a job, of one with TLS, and of no agent."""
    certificate = tmp_path_factory.mktemp("tls") / "both.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        EmbeddedAgent(PLUGINS, tls_cert=certificate, tls_key=certificate) as secured,
        EmbeddedAgent(PLUGINS, max_body_bytes=4096) as agent,
        agent.client() as client,
    ):
        client.create_plugin_release("my_plugin", "1.0.0")
        client.run_plugin_release("my_plugin@1.0.0", "process", {"input": "to be"}, job_id="done")
        yield {
            "url": agent.base_url,
            "tls_url": agent.base_url.replace("http:", "https:"),
            "secured": secured.base_url,
            "unsecured": secured.base_url.replace("https:", "http:"),
            "token": agent.token or "",
            "port": agent.base_url.rpartition(":")[2],
            "silent": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "version": __version__,
            "large": "x" * 5000,
            "plugins": str(PLUGINS),
        }


def filled(text: str, values: dict[str, str]) -> str:
    """Replace the words in braces by their values."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def test_the_sheet_has_sixty_mistakes() -> None:
    """Each is unique, and the pattern finds every one."""
    commands = [command for command, _, _ in MISTAKES]
    assert len(commands) >= 60
    assert len(commands) == len(set(commands)) == sum(line.startswith("$") for line in SHEET.splitlines())


@pytest.mark.parametrize(("command", "code", "wanted"), MISTAKES, ids=[command for command, _, _ in MISTAKES])
def test_a_mistake_ends_with_the_line_that_helps(
    cli, values: dict[str, str], env: Path, monkeypatch: pytest.MonkeyPatch, command: str, code: str, wanted: str
) -> None:
    """It prints one line on stderr and nothing on stdout; a correct call prints to stdout."""
    monkeypatch.setenv("SYNAPSE_AGENT_URL", values["url"])
    monkeypatch.setenv("SYNAPSE_AGENT_TOKEN", values["token"])
    monkeypatch.chdir(env)
    (env / "empty").mkdir()
    ended = cli(*shlex.split(filled(command, values)))
    printed, empty = (ended.out, ended.err) if code == "0" else (ended.err, ended.out)
    pattern = ".*".join(map(re.escape, filled(wanted, values).split("…")))
    line = " ".join(printed.split()) if code == "0" else printed.removeprefix("synapse-agent: ").rstrip("\n")
    assert re.fullmatch(pattern, line), printed
    assert (ended.code, empty) == (int(code), "")
    assert not NOT_FOR_EVERYONE.search(ended.err)


@pytest.mark.parametrize(
    ("lookup", "near"),
    [
        ("b@1", ["b@1.0"]),
        ("bb@2.0", []),
        ("trainer@2", ["trainer@2.0", "trainer@1.0"]),
        ("1.0@b", ["b@1.0"]),
        ("trainr 1.0", ["trainer@1.0", "trainer@2.0"]),
    ],
)
def test_the_nearest_releases_come_first(lookup: str, near: list[str]) -> None:
    """Only plugins with a similar code are suggested."""
    assert near_releases(lookup, ["trainer@1.0", "trainer@2.0", "b@1.0"]) == near
