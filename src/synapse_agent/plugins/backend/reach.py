"""The hosts to which a backend may send the agent: public ones, and its own network only if the backend is in it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.request import getproxies

from synapse_agent.errors import UsageError
from synapse_agent.plugins.backend.addresses import BackendFault, origin
from synapse_agent.util.hosts import host_name
from synapse_agent_api.http_library import httpx

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
Resolve = Callable[[str], Awaitable[Sequence[IPAddress]]]

_NAT64 = IPv6Network("64:ff9b::/96")


class Reach:
    """Checks the addresses in records and redirects.

    Otherwise a record could make the agent call services that only its own machine or network can reach, such as a
    cloud's metadata service, and read their responses in its messages.
    """

    def __init__(self, home: httpx.URL, *, allowed: Sequence[str] = (), resolve: Resolve | None = None) -> None:
        """`allowed` are host names, addresses and networks that are always allowed; `UsageError` for an invalid one."""
        self._home = home
        self._names, self._networks = _parse(allowed)
        self._resolve = resolve or _resolve
        # A proxy resolves names itself, so this machine's result is irrelevant.
        self._is_direct = not getproxies().keys() & {"http", "https", "all"}

    async def check(self, url: httpx.URL) -> None:
        """Raise `BackendFault` if the agent must not call this host; use it before sending anything."""
        if origin(url) == origin(self._home) or url.host.lower().rstrip(".") in self._names:
            return
        await self._check(url, await self._addresses(url.host))

    async def check_peer(self, url: httpx.URL, response: httpx.Response) -> None:
        """Do the same with the address that responded: a name may resolve differently a moment later."""
        stream = response.extensions.get("network_stream")
        peer = stream.get_extra_info("server_addr") if stream is not None and self._is_direct else None
        if peer and origin(url) != origin(self._home) and url.host.lower().rstrip(".") not in self._names:
            await self._check(url, [ip_address(peer[0].partition("%")[0])])

    async def _check(self, url: httpx.URL, addresses: Sequence[IPAddress]) -> None:
        inner = [each for each in map(_unwrapped, addresses) if not self._is_fine(each)]
        if not inner:
            return
        is_inside = any(not _is_public(each) for each in map(_unwrapped, await self._addresses(self._home.host)))
        if not is_inside or any(each.is_link_local for each in inner):
            raise BackendFault(
                f"is at {origin(url)}, which is not a public address, so no request was sent; the agent's operator can "
                f"allow it with --backend-allow {url.host}"
            )

    def _is_fine(self, address: IPAddress) -> bool:
        return _is_public(address) or any(address in network for network in self._networks)

    async def _addresses(self, host: str) -> Sequence[IPAddress]:
        try:
            return [ip_address(host)]
        except ValueError:
            return await self._resolve(host) if self._is_direct else []


def _parse(allowed: Sequence[str]) -> tuple[frozenset[str], list[IPNetwork]]:
    names: set[str] = set()
    networks: list[IPNetwork] = []
    for text in allowed:
        try:
            networks.append(ip_network(text.strip("[]"), strict=False))
        except ValueError:
            name = host_name(text)
            if name is None or name != text.lower().rstrip("."):
                raise UsageError(
                    f"--backend-allow {text!r} is not a host name, address or network. Remove scheme, port and path."
                ) from None
            names.add(name)
    return frozenset(names), networks


async def _resolve(host: str) -> Sequence[IPAddress]:
    """Resolve a name; an unknown one has no addresses, and connecting then reports the reason."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


def _unwrapped(address: IPAddress) -> IPAddress:
    """Return the IPv4 address that an IPv6 one embeds."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: IPAddress) -> bool:
    is_site_local = isinstance(address, IPv6Address) and address.is_site_local  # global for Python
    return address.is_global and not address.is_multicast and not is_site_local
