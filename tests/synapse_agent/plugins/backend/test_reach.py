"""Which hosts a backend may send the agent to."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from synapse_agent.plugins.backend.addresses import BackendFault
from synapse_agent.plugins.backend.reach import Reach
from synapse_agent.settings import UsageError
from synapse_agent_api.http_library import httpx

pytestmark = pytest.mark.anyio

NAMES = {
    "public.example": ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
    "internal.example": ["10.1.2.3"],
    "both.example": ["93.184.215.14", "10.1.2.3"],
    "localhost": ["127.0.0.1", "::1"],
    "unknown.example": [],
}
INNER = [
    *("127.0.0.1", "[::1]", "localhost", "10.1.2.3", "internal.example", "both.example", "192.168.1.1", "172.17.0.1"),
    *("169.254.169.254", "[fe80::1]", "0.0.0.0", "100.64.0.1", "[fd00::1]", "224.0.0.1", "[::ffff:127.0.0.1]"),
    *("[::ffff:10.1.2.3]", "[2002:7f00:1::]", "[64:ff9b::a00:1]", "[fec0::1]"),
]


def reach(home: str, *allowed: str) -> Reach:
    async def resolve(host: str) -> list[Any]:
        return [ip_address(address) for address in NAMES[host]]

    return Reach(httpx.URL(home), allowed=allowed, resolve=resolve)


async def is_allowed(reach: Reach, host: str, *, scheme: str = "https") -> bool:
    try:
        await reach.check(httpx.URL(f"{scheme}://{host}/archive.zip"))
    except BackendFault:
        return False
    return True


@pytest.mark.parametrize("host", INNER)
async def test_a_public_backend_names_public_hosts_only(host: str) -> None:
    """This holds for every notation of an address; all addresses of a name must be public."""
    assert not await is_allowed(reach("https://public.example/api"), host)


@pytest.mark.parametrize("host", ["93.184.215.14", "public.example", "[2606:2800:21f::1]", "unknown.example"])
async def test_public_hosts_are_fine(host: str) -> None:
    """So is an unknown name: the connection fails later."""
    assert await is_allowed(reach("https://public.example/api"), host)


@pytest.mark.parametrize("home", ["http://localhost:9000", "https://10.9.9.9", "http://internal.example/api"])
async def test_a_backend_that_is_not_public_may_name_its_neighbors(home: str) -> None:
    """Link-local addresses, which clouds use for metadata, stay refused; one allowed neighbor allows no others."""
    for host in ("127.0.0.1", "localhost", "10.1.2.3", "internal.example"):
        assert await is_allowed(reach(home), host)
    for host in ("169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]"):
        assert not await is_allowed(reach(home), host)


async def test_the_backend_itself_is_always_fine() -> None:
    """The operator has configured it; another port of its host is another service."""
    own = reach("https://internal.example:8443/api")
    assert await is_allowed(own, "internal.example:8443")
    assert await is_allowed(reach("http://169.254.1.1/api"), "169.254.1.1", scheme="http")


@pytest.mark.parametrize(
    ("allowed", "fine", "refused"),
    [
        ("10.1.0.0/16", "internal.example", "10.2.0.1"),
        ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
        ("Internal.Example.", "internal.example", "10.1.2.3"),
        ("169.254.169.254", "169.254.169.254", "169.254.0.1"),
        ("fd00::/8", "[fd00::1]", "[fe80::1]"),
        ("[::1]", "[::1]", "127.0.0.1"),
        ("127.0.0.0/8", "[::ffff:127.0.0.1]", "[::1]"),
    ],
)
async def test_the_operator_allows_hosts_addresses_and_networks(allowed: str, fine: str, refused: str) -> None:
    """Other hosts stay refused."""
    policy = reach("https://public.example", allowed)
    assert await is_allowed(policy, fine)
    assert not await is_allowed(policy, refused)


@pytest.mark.parametrize("text", ["https://10.1.2.3", "host:80", "10.1.2.3/33", "a/b", "", "user@host"])
def test_what_is_no_host_is_refused_at_the_start(text: str) -> None:
    """The message has the option's name and what to remove."""
    with pytest.raises(UsageError, match=r"--backend-allow .* is not a host name, address or network"):
        reach("https://public.example", text)
