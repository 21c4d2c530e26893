"""Names and addresses of hosts."""

from __future__ import annotations

import pytest

from synapse_agent.util.hosts import host_name, is_loopback_host


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a", "a"),
        ("A.B:80", "a.b"),
        ("[::1]:8", "::1"),
        ("a.", "a"),
        ("a:", "a"),
        ("a/b", None),
        ("u@a", None),
        ("a:b", None),
    ],
)
def test_the_name_in_a_host_header(host: str, name: str | None) -> None:
    """The name is in lower case, without port, brackets and final dot; None if it is not a host."""
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("127.9.9.9", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
    ],
)
def test_what_counts_as_loopback(host: str, expected: bool) -> None:
    """Wildcard addresses don't: other machines can reach them."""
    assert is_loopback_host(host) is expected
