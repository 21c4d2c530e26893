"""Choose the environment's proxy for requests to an agent. No I/O here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from synapse_sdk.clients.agent._request.config import check_url

__all__ = ["getproxies", "is_excepted", "proxy_for"]

_SOCKS = {"socks": "socks5", "socks5": "socks5", "socks5h": "socks5h"}
"""`socks://`, which desktops set, means version 5."""
_PORTS = {"http": 80, "https": 443}


def proxy_for(base_url: str, proxies: Mapping[str, str]) -> str | None:
    """Return the address of the proxy for an agent's address, None for a direct connection.

    Args:
        base_url: The agent's address.
        proxies: Proxies by scheme with their exceptions, as `urllib.request.getproxies` returns them.

    Raises:
        ValueError: The proxy for this address can't be used; the message has the reason.
    """
    url = urlsplit(base_url)
    scheme = next((name for name in (url.scheme, "all") if proxies.get(name)), None)
    if scheme is None or is_excepted(url, proxies.get("no", "")):
        return None
    return _usable(proxies[scheme], f"{scheme.upper()}_PROXY")


def is_excepted(url: SplitResult, no_proxy: str) -> bool:
    """Return whether NO_PROXY contains an address: by name, parent domain, IP address, network, or `*`."""
    return any(name == "*" or _covers(name, url) for name in re.split(r"[\s,]+", no_proxy) if name)


def _usable(proxy: str, variable: str) -> str:
    scheme, mark, rest = proxy.strip().partition("://")
    if not mark:
        scheme, rest = "http", scheme
    scheme = scheme.lower()
    if scheme not in ("http", "https", *_SOCKS):
        raise ValueError(f"{variable} names a {scheme}:// proxy; http, https, socks5 and socks5h can be used.")
    if scheme in _SOCKS and find_spec("socksio") is None:
        raise ValueError(
            f"{variable} names a {scheme}:// proxy, which needs the package socksio: pip install 'httpx[socks]'."
        )
    check_url(f"http://{rest.rpartition('@')[2]}", variable)
    return f"{_SOCKS.get(scheme, scheme)}://{rest}"


def _covers(name: str, url: SplitResult) -> bool:
    scheme, mark, rest = name.rpartition("://")
    if mark and scheme.lower() not in ("all", url.scheme):
        return False
    host, port = _host_and_port(rest.lower())
    if port and int(port) != (url.port or _PORTS[url.scheme]):
        return False
    return _is_within(host, _plain(url.hostname or ""))


def _host_and_port(name: str) -> tuple[str, str]:
    """Split `host`, `host:port`, `[::1]:port`, or an IPv6 address or network without brackets."""
    match = re.fullmatch(r"\[([^\]]*)\](/\d+)?(?::(\d+))?", name)
    if match:
        return match[1] + (match[2] or ""), match[3] or ""
    host, _, port = name.partition(":")
    return (host, port) if port.isdigit() else (name, "")


def _is_within(name: str, host: str) -> bool:
    """Return whether a host matches an entry, is below its domain, or in its network."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        domain = _plain(name.removeprefix("*").lstrip("."))
        return bool(domain) and (host == domain or host.endswith(f".{domain}"))
    try:
        return address in ipaddress.ip_network(name.partition("%")[0], strict=False)
    except ValueError:
        return False


def _plain(name: str) -> str:
    """Return a host's name in the network's form, without a final dot."""
    name = name.rstrip(".").lower()
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return name
