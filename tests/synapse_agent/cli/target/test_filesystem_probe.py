"""An agent must prove that it sees the same files as the command."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.cli.target.filesystem_probe import may_share_files, shares_files
from synapse_sdk.exceptions import ValidationError


class Elsewhere:
    """An agent on another machine, behind a forwarded port: it can't read this machine's folders."""

    def __init__(self, says: str) -> None:
        self.says = says

    def run_debug_plugin_release(self, _action: str, *, plugin_path: str) -> object:
        """Return the answer of such an agent."""
        if self.says == "ran":
            return None
        raise ValidationError(f"unseen in {plugin_path}", error_type=self.says)


def test_an_agent_on_this_machine_proves_it(known: EmbeddedAgent) -> None:
    """It returns a word from a file; the file is removed afterwards."""
    before = set(Path(tempfile.gettempdir()).glob("synapse-agent-*"))
    with known.client() as client:
        assert shares_files(client)
    assert set(Path(tempfile.gettempdir()).glob("synapse-agent-*")) <= before


@pytest.mark.parametrize("says", ["invalid_plugin_path", "unknown_action", "ran"])
def test_any_other_does_not(says: str) -> None:
    """Another agent can't know the word, whatever it answers."""
    assert not shares_files(Elsewhere(says))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://[::1]:8000", True),
        ("http://localhost", True),
        ("https://agent.example.com", False),
        ("http://192.0.2.1", False),
    ],
)
def test_only_loopback_is_asked(url: str, may: bool) -> None:
    """Other agents do not learn the names of local folders."""
    assert may_share_files(url) is may
