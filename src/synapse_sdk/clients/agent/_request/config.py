"""The settings of a client: address, tokens, time limits. No I/O here."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from synapse_sdk._version import __version__
from synapse_sdk.clients.agent._request.arguments import check_count
from synapse_sdk.clients.agent.hooks import OnRequest, OnResponse

Timeout = float | int | Mapping[str, float | None] | tuple[float | None, float | None]
"""Seconds for both, `{"connect": 3, "read": 10}`, or `(connect, read)`; None means no limit."""

TimeoutProfile = Literal["control", "create", "run", "stream"]
"""The kind of answer: `create` downloads, a `run` may take days, and a `stream` may pause for a while."""

LIMITS: dict[TimeoutProfile, dict[str, float | None]] = {
    "control": {"connect": 5.0, "read": 30.0},
    "create": {"connect": 5.0, "read": 600.0},
    "run": {"connect": 5.0, "read": None},
    "stream": {"connect": 5.0, "read": 60.0},
}
"""Seconds to connect, and to wait for the next byte of an answer."""

LONGEST_LIMIT = 2_000_000.0
"""Seconds, about three weeks: a socket counts milliseconds in 32 bits, so longer limits would end early or never."""

MAX_RESPONSE_BYTES = 1024 * 1024 * 1024
"""Default maximum size of a decoded answer, which is read into memory."""

WRITE_LIMIT = 60.0
"""Seconds to wait until the peer accepts more of a request, if reading has no limit."""

_COMMON_HEADERS = {"Accept": "application/json, text/plain", "User-Agent": f"synapse-agent-client/{__version__}"}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")

_LONGEST_URL = 8000
"""Longest base URL in characters. The head of a request can have 64 kB, more than common servers accept."""

_SET_BY_REQUESTS = {name.lower(): name for name in ("Accept", "Content-Type", "Idempotency-Key", "Last-Event-ID")}
"""Headers that a request sets or reads under exactly these names, whatever the case in which the caller passes them."""


class Secret(str):
    """A header's value that no repr shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    __sentry_repr__ = __repr__  # Sentry shows a str unchanged, unless it has this


@dataclass(frozen=True, slots=True)
class Config:
    """A client's validated settings."""

    base_url: str
    """Without a trailing slash."""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: Mapping[str, float | None] = field(default_factory=dict)
    """The caller's limits, by `connect` and `read`; missing ones depend on the operation."""
    deadline: float | None = None
    """Seconds for a whole call, all its attempts and the waits between them."""
    max_retries: int = 2
    on_request: OnRequest | None = None
    on_response: OnResponse | None = None
    max_response_bytes: int = MAX_RESPONSE_BYTES
    """Maximum size of a decoded answer."""

    def adapted(
        self,
        *,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        max_retries: int | None = None,
    ) -> Config:
        """Return these settings with the given ones replaced."""
        return replace(
            self,
            timeout=self.timeout if timeout is None else {**self.timeout, **parse_timeout(timeout)},
            deadline=self.deadline if deadline is None else _seconds(deadline, "deadline"),
            headers=self.headers if headers is None else _merged(self.headers, _own_headers(headers)),
            max_retries=self.max_retries if max_retries is None else _count(max_retries, "max_retries"),
        )


def configure(
    environ: Mapping[str, str],
    *,
    base_url: str | None,
    access_token: str | None,
    agent_token: str | None,
    user_token: str | None,
    tenant: str | None,
    timeout: Timeout | None,
    deadline: float | None,
    headers: Mapping[str, str] | None,
    max_retries: int,
    on_request: OnRequest | None,
    on_response: OnResponse | None,
    max_response_bytes: int,
) -> Config:
    """Check the caller's arguments and read missing ones from the environment.

    Raises `ValueError` or `TypeError` with the name of the invalid one.
    """
    if access_token is not None and agent_token is not None and access_token != agent_token:
        raise ValueError("access_token and agent_token are two names of the same token. Pass only one.")
    token = agent_token if access_token is None else access_token
    tokens = {
        "Authorization": ("", *_setting(token, "access_token", environ, "SYNAPSE_AGENT_TOKEN")),
        "SYNAPSE-User": ("Token ", *_setting(user_token, "user_token", environ, "SYNAPSE_USER_TOKEN")),
        "SYNAPSE-Tenant": ("Token ", *_setting(tenant, "tenant", environ, "SYNAPSE_TENANT")),
    }
    auth = {
        header: Secret(prefix + _header_value(value, name))
        for header, (prefix, value, name) in tokens.items()
        if value is not None
    }
    return Config(
        base_url=_base_url(*_setting(base_url, "base_url", environ, "SYNAPSE_AGENT_URL")),
        headers=_merged(_COMMON_HEADERS, _own_headers(headers or {}), auth),
        timeout={} if timeout is None else parse_timeout(timeout),
        deadline=None if deadline is None else _seconds(deadline, "deadline"),
        max_retries=_count(max_retries, "max_retries"),
        on_request=_hook(on_request, "on_request"),
        on_response=_hook(on_response, "on_response"),
        max_response_bytes=check_count(max_response_bytes, "max_response_bytes"),
    )


def parse_timeout(timeout: Timeout) -> dict[str, float | None]:
    """Return a timeout as `connect` and `read` seconds, with only the given ones."""
    if isinstance(timeout, Mapping):
        unknown = sorted(str(key) for key in timeout if key not in ("connect", "read"))
        if unknown:
            raise ValueError(f"timeout takes 'connect' and 'read', not {', '.join(map(repr, unknown))}.")
        return {key: _seconds(value, f"timeout[{key!r}]") for key, value in timeout.items()}
    if isinstance(timeout, (tuple, list)):
        if len(timeout) != 2:
            raise ValueError(f"timeout takes (connect, read), not {len(timeout)} values.")
        return {"connect": _seconds(timeout[0], "timeout[0]"), "read": _seconds(timeout[1], "timeout[1]")}
    seconds = _seconds(timeout, "timeout")
    return {"connect": seconds, "read": seconds}


def _seconds(value: Any, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}.")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be more than 0 seconds and finite (None for no limit), not {value!r}.")
    return float(value)


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}.")
    if value < 0:
        raise ValueError(f"{name} must be 0 or more, not {value}.")
    return value


def _hook(value: Any, name: str) -> Any:
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be callable, not {type(value).__name__}.")
    if inspect.iscoroutinefunction(value):
        raise TypeError(f"{name} must be a plain function: nothing would await what {value!r} returns.")
    return value


def _setting(given: Any, name: str, environ: Mapping[str, str], variable: str) -> tuple[Any, str]:
    """Return the argument, else the environment's value, and its name in messages."""
    if given is None and environ.get(variable):
        return environ[variable], variable
    return given, name


def _base_url(given: Any, name: str) -> str:
    if given is not None and not isinstance(given, str):
        raise TypeError(f"{name} must be a str, not {type(given).__name__}.")
    url = (given or "").strip()
    if not url:
        raise ValueError(f"{name} is empty: pass the agent's address, or set SYNAPSE_AGENT_URL.")
    check_url(url, name)
    return url.rstrip("/")


def check_url(url: str, name: str) -> None:
    """Raise `ValueError`, with this name, if nothing can be reached at an address."""
    from synapse_agent_api.http_library import httpx

    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{name} is not an address: {error}.") from error
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{name} contains a user name or password, which agents don't accept: use access_token.")
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{name} must look like https://agent.example.com, not {url!r}.")
    if parts.query or parts.fragment or re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError(f"{name} must be an address without query, fragment or blanks: {url!r}.")
    if port == 0:
        raise ValueError(f"{name} has the port 0, on which nothing can listen: {url!r}.")
    if len(url) > _LONGEST_URL:
        raise ValueError(f"{name} has {len(url)} characters, more than the limit of {_LONGEST_URL}.")
    try:
        labels = httpx.URL(url).raw_host.decode("ascii").removesuffix(".").split(".")
    except httpx.InvalidURL as error:
        raise ValueError(f"{name} is not an address: {error}.") from error
    if any(not 0 < len(label) < 64 for label in labels):
        raise ValueError(f"{name} is not an address: each part of a host name must have 1 to 63 characters: {url!r}.")


def _own_headers(headers: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers must be a mapping, not {type(headers).__name__}.")
    return {_header_name(name): Secret(_header_value(value, f"headers[{name!r}]")) for name, value in headers.items()}


def check_hook_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that a hook has set, each checked; the error names the invalid one."""
    if not isinstance(headers, Mapping):
        raise TypeError(f"A hook set the request's headers to {type(headers).__name__}; they must be a mapping.")
    return _merged(
        {
            _header_name(name): Secret(_header_value(value, f"the header {name!r} that a hook set"))
            for name, value in headers.items()
        }
    )


def _header_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"headers must have names that are str, not {type(name).__name__}.")
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"headers can't have the name {name!r}: it is not a valid header name.")
    if name.lower() in ("content-length", "transfer-encoding"):
        raise ValueError(f"headers can't have {name}: the client sets the length of a body itself.")
    return _SET_BY_REQUESTS.get(name.lower(), name)


def _merged(*layers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of all layers; a later one replaces an earlier one of that name in any case."""
    by_name = {name.lower(): (name, value) for layer in layers for name, value in layer.items()}
    return dict(by_name.values())


def _header_value(value: Any, name: str) -> str:
    """Return a value that a header can carry; the error does not show it, since it may be a secret."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}.")
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError(
            f"{name} can't be sent as a header: it must be printable ASCII without blanks or a newline at its ends."
            if value
            else f"{name} is empty."
        )
    return value


def limits(pace: TimeoutProfile, client: Mapping[str, float | None], left: float | None) -> Mapping[str, float | None]:
    """Return the limits of one request in seconds: the client's, else those of its kind, never beyond a deadline."""
    usual = LIMITS[pace]
    connect, read = client.get("connect", usual["connect"]), client.get("read", usual["read"])
    return _usual_bounds(connect, read) if left is None else _bounds(connect, read, left)


def _bounds(connect: float | None, read: float | None, left: float | None) -> dict[str, float | None]:
    bounds = {"connect": connect, "read": read, "write": WRITE_LIMIT if read is None else read, "pool": connect}
    longest = LONGEST_LIMIT if left is None else min(left, LONGEST_LIMIT)
    unbounded = None if left is None else longest
    return {name: unbounded if bound is None else min(bound, longest) for name, bound in bounds.items()}


@lru_cache(maxsize=64)
def _usual_bounds(connect: float | None, read: float | None) -> Mapping[str, float | None]:
    return MappingProxyType(_bounds(connect, read, None))
