"""Addresses of a backend and of what it points to: what they may be, and how much of them may be shown."""

from __future__ import annotations

from synapse_agent.errors import UsageError
from synapse_agent.problems import quoted
from synapse_agent_api.http_library import httpx

WEB = ("http", "https")
_SAID_CHARACTERS = 200


class BackendFault(Exception):
    """Why something cannot be had; the message continues a subject such as "its archive"."""


class NotThere(BackendFault):
    """The backend answers, and does not have it."""


def backend_address(text: str) -> httpx.URL:
    """Read the address that an agent is told to find its backend at; `UsageError` says what is wrong with it."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise UsageError(
            f"The backend's address cannot be read: {short(error)}. Name one such as https://host/api."
        ) from error
    if url.userinfo:
        raise UsageError(
            "The backend's address holds a user or password; give a token with --backend-token-file instead."
        )
    if url.scheme not in WEB or not _has_place(url) or url.query or url.fragment:
        shown = text.partition("?")[0].rpartition("@")[2]  # the rest can be meant as a secret
        raise UsageError(
            f"The backend's address {shown!r} is no http or https one with a host and without query and fragment. "
            "Name one such as https://host/api."
        )
    return url


def resolved(text: str, *, base: httpx.URL) -> httpx.URL:
    """Read an absolute or relative address; `BackendFault` where it is none of http or https."""
    try:
        url = base.join(text)
    except httpx.InvalidURL as error:
        raise BackendFault(f"is at an address that cannot be read: {short(error)}") from error
    if url.scheme not in WEB:
        raise BackendFault(f"is at an address that is no http or https one, but of the kind {quoted(url.scheme)}")
    if not _has_place(url):
        raise BackendFault("is at an address that names no host, or a port that there cannot be")
    return url


def origin(url: httpx.URL) -> str:
    """Give scheme, host and port, which is all of an address that a message may show: the rest can hold secrets."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def redirected(url: httpx.URL, location: str) -> httpx.URL:
    """Give the address that a redirect leads to; from https to http none may, as whoever answers there is unknown."""
    target = resolved(location, base=url)
    if url.scheme == "https" and target.scheme == "http":
        raise BackendFault(f"is redirected from {origin(url)} to {origin(target)}, which is not encrypted")
    return target


def short(error: BaseException) -> str:
    """Say an error in a few words that more can follow."""
    return str(error)[:_SAID_CHARACTERS].rstrip(".") or type(error).__name__


def _has_place(url: httpx.URL) -> bool:
    return bool(url.host) and (url.port is None or 0 < url.port < 2**16)
