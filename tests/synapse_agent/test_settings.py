"""What an agent can be told, and what does not go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.settings import Settings, UsageError


def settings(**given: Any) -> Settings:
    return Settings(plugins=(Path("x"),), data_dir=Path("x"), **given)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "agent.example.com"])
def test_beyond_loopback_a_token_is_needed(host: str) -> None:
    """However the agent is started."""
    with pytest.raises(UsageError, match="needs a token"):
        settings(host=host)
    assert settings(host=host, token="x").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_loopback_none_is_needed(host: str) -> None:
    """For every process of this machine to be let in is something that can be asked for."""
    assert settings(host=host).token is None


@pytest.mark.parametrize(
    "name",
    [
        *("max_concurrent_runs", "max_zygotes", "max_cpu_seconds", "max_memory", "max_file_size", "max_processes"),
        *("max_plugin_files", "max_plugin_size", "max_archive_ratio", "max_debug_size"),
    ],
)
@pytest.mark.parametrize("value", [0, -1, 2**63])
def test_a_limit_is_a_number_from_one_that_the_kernel_can_count_to(name: str, value: int) -> None:
    """The message names the option."""
    option = f"--{name.replace('_', '-')}"
    with pytest.raises(UsageError, match=f"{option} must be a whole number from 1, not {value}"):
        settings(**{name: value})
    assert getattr(settings(**{name: 7}), name) == 7


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tls_cert": Path("c")}, "--tls-cert and --tls-key go together"),
        ({"tls_key": Path("k")}, "--tls-cert and --tls-key go together"),
        ({"allow_write": (Path("/no/such/folder"),)}, "--allow-write /no/such/folder is not there"),
        ({"debug_roots": (Path("/no/such/folder"),)}, "--debug-root /no/such/folder is not there"),
        ({"debug_roots": (Path("/"),), "allow_debug": False}, "add --allow-debug, or leave it out"),
        ({"debug_roots": (Path("/"),), "host": "::", "token": "x"}, "add --allow-debug, or leave it out"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], said: str) -> None:
    """Before anything is made; the embedded agent says the same."""
    with pytest.raises(UsageError, match=said):
        settings(**given)
    with pytest.raises(UsageError, match=said), EmbeddedAgent("/", **given):
        pass


@pytest.mark.parametrize(
    ("host", "allow_debug", "expected"),
    [
        ("127.0.0.1", None, True),
        ("127.0.0.1", False, False),
        ("0.0.0.0", None, False),
        ("0.0.0.0", True, True),
    ],
)
def test_debug_runs_are_for_loopback_unless_said_otherwise(host: str, allow_debug: bool | None, expected: bool) -> None:
    """Either can be said."""
    assert settings(host=host, token="x", allow_debug=allow_debug).takes_debug_runs is expected
