"""Names and addresses of hosts."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit


@lru_cache
def host_name(host: str) -> str | None:
    """Return the name in a `Host` header in lower case, without port, brackets and final dot; None if invalid."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises if the port is not a number
    except ValueError:
        return None
    if parts.netloc != host or parts.username is not None or parts.hostname is None:
        return None
    return parts.hostname.rstrip(".")


def is_loopback_host(host: str) -> bool:
    """Return whether a name or address to listen on can only be reached from this machine."""
    return is_loopback_name(host.strip("[]").lower())


def is_loopback_name(name: str) -> bool:
    """Return whether a name in lower case, without brackets, is this machine's own."""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
