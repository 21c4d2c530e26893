"""Addresses of a backend and of what it refers to: which are valid, and which parts may be shown."""

from __future__ import annotations

from synapse_agent.errors import UsageError
from synapse_agent.problems import quoted
from synapse_agent_api.http_library import httpx

WEB = ("http", "https")
_SAID_CHARACTERS = 200


class BackendFault(Exception):
    """Why something can't be fetched; the message continues a subject such as "its archive"."""


class NotThere(BackendFault):
    """The backend responds, but does not have it."""


def backend_address(text: str) -> httpx.URL:
    """Parse the address of the agent's backend; raise `UsageError` for an invalid one."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise UsageError(
            f"The backend's address is invalid: {short(error)}. Pass one such as https://host/api."
        ) from error
    if url.userinfo:
        raise UsageError(
            "The backend's address contains a user or password. Pass a token with --backend-token-file instead."
        )
    if url.scheme not in WEB or not _has_place(url) or url.query or url.fragment:
        shown = text.partition("?")[0].rpartition("@")[2]  # the rest may be a secret
        raise UsageError(
            f"The backend's address {shown!r} must be an http or https URL with a host, without query and fragment. "
            "Pass one such as https://host/api."
        )
    return url


def resolved(text: str, *, base: httpx.URL) -> httpx.URL:
    """Parse an absolute or relative address; raise `BackendFault` unless it is one of http or https."""
    try:
        url = base.join(text)
    except httpx.InvalidURL as error:
        raise BackendFault(f"has an invalid address: {short(error)}") from error
    if url.scheme not in WEB:
        raise BackendFault(f"has an address of the kind {quoted(url.scheme)}, not http or https")
    if not _has_place(url):
        raise BackendFault("has an address without host, or with an invalid port")
    return url


def origin(url: httpx.URL) -> str:
    """Return scheme, host and port, the only parts of an address that a message may show: the rest may be secret."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def redirected(url: httpx.URL, location: str) -> httpx.URL:
    """Return the target of a redirect; reject one from https to http, whose server is not authenticated."""
    target = resolved(location, base=url)
    if url.scheme == "https" and target.scheme == "http":
        raise BackendFault(f"is redirected from {origin(url)} to {origin(target)}, which is not encrypted")
    return target


def short(error: BaseException) -> str:
    """Shorten an error's text so that more can follow."""
    return str(error)[:_SAID_CHARACTERS].rstrip(".") or type(error).__name__


def _has_place(url: httpx.URL) -> bool:
    return bool(url.host) and (url.port is None or 0 < url.port < 2**16)
