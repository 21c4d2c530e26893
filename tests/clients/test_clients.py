"""Clients of other generators do the main job against an agent: the contract works with all of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from foreign_clients import CLIENTS, HERE, ForeignClient, run
from parameters import parameter
from wiretap import Wiretap

from synapse_agent import EmbeddedAgent

STEPS: dict[str, Any] = {
    "create": ["workshop", "1.0.0"],
    "get": ["workshop", "1.0.0"],
    "list": [1, 0],
    "run": {"counted": 2},
    "legacy": "legacy",
    "debug": "Hello, Ada",
    "stream": ["counted 1", "counted 2", "SUCCEEDED"],
    "job": ["SUCCEEDED", 2, {"counted": 2}],
    "logs": "counted 1\ncounted 2\n",
    "stop": "STOPPED",
    "forgotten": [404, "job_not_found"],
    "deleted": [404, "release_not_found"],
}
"""What each step of a program reports, in this order."""
CANNOT = "cannot"
"""What a program reports for a step that its client can't do."""


@pytest.mark.parametrize("client", [parameter(each, is_long=not each.is_quick, name=each.name) for each in CLIENTS])
def test_a_client_does_the_main_job(client: ForeignClient, tmp_path: Path) -> None:
    """Made from the unmodified contract, the client compiles, sends its arguments unchanged, and reads all answers."""
    if missing := client.missing():
        pytest.skip(f"{', '.join(missing)} is missing; as root on Debian, .ci/install installs it.")
    program = client.make(tmp_path)
    with EmbeddedAgent(HERE / "plugins") as agent, Wiretap(agent.base_url) as wire:
        done = run(program, tmp_path, SYNAPSE_AGENT_URL=wire.base_url, SYNAPSE_AGENT_TOKEN=agent.token)
    lines = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    assert {name: json.loads(outcome) for name, outcome in lines} == STEPS | dict.fromkeys(client.cannot, CANNOT)
    check_requests(bytes(wire.sent), agent.token)


def check_requests(sent: bytes, token: str) -> None:
    """Check what was sent: the legacy payload is complete, and the token is only in its own header."""
    payload = re.search(rb'\{[^\r\n]*"key_of_its_own"[^\r\n]*\}', sent)
    assert payload, "the key of the legacy payload was dropped"
    assert json.loads(payload[0])["key_of_its_own"] == {"deep": [1, None]}
    headers = {line.lower() for line in sent.split(b"\r\n")}
    assert f"authorization: {token}".lower().encode() in headers
    assert not [line for line in headers if line.startswith((b"synapse-user", b"synapse-tenant"))]
    assert b"prefer: respond-async" in headers


def test_what_clients_cannot_do_is_written_down() -> None:
    """The README here lists each gap, and whose fault it is."""
    text = " ".join((HERE / "README.md").read_text(encoding="utf-8").split())
    for client in CLIENTS:
        assert f"| `{client.name}` |" in text
        assert [step for step, why in client.cannot.items() if step not in STEPS or why not in text] == []
