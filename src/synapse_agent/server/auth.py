"""Decides who gets in: the token, and the `Host` and `Origin` that web pages cannot choose."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from synapse_agent.problems import Problem
from synapse_agent.server.api_docs import FILES
from synapse_agent.util.hosts import host_name, is_loopback_name

TOKEN_NAME = "synapse_agent.token_name"
"""What a scope calls the name of the token that its request carries."""
OPEN_PATHS = frozenset({"/health/", *FILES})


class AuthMiddleware:
    """An ASGI application that lets through to the next only what may come in."""

    def __init__(self, app: ASGIApp, *, token: str | None, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._hosts = frozenset(host.lower().rstrip(".") for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or raise `Problem` 401 or 403."""
        self._check(scope)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        own = scope["server"][0] if scope.get("server") else ""
        self._check_host(_values(headers, b"host"), own)
        for origin in _values(headers, b"origin"):
            self._check_origin(origin, own)
        if scope["path"] not in OPEN_PATHS:
            scope[TOKEN_NAME] = None if self._token is None else "default"
            self._check_token([value.strip(b" \t") for name, value in headers if name == b"authorization"])

    def _check_host(self, hosts: list[str], own: str) -> None:
        if len(hosts) == 1 and self._serves(host_name(hosts[0]), own):
            return
        found = f"the host {hosts[0][:200]!r}" if len(hosts) == 1 else "a request without exactly one Host"
        hint = "; start it with --allowed-host to let a name in" if len(hosts) == 1 else ""
        raise Problem(403, "host_not_allowed", f"This agent does not serve {found}{hint}.")

    def _check_origin(self, origin: str, own: str) -> None:
        if not self._serves(_origin_host(origin), own):
            raise Problem(403, "origin_not_allowed", f"This agent takes no requests from pages of {origin[:200]!r}.")

    def _serves(self, name: str | None, own: str) -> bool:
        return name is not None and (name == own or name in self._hosts or is_loopback_name(name))

    def _check_token(self, given: list[bytes]) -> None:
        # No WWW-Authenticate with the 401: the token travels without a scheme, so there is none to name.
        if self._token is None:
            return
        if not given:
            raise Problem(401, "unauthorized", "This agent wants its token in the Authorization header.")
        if len(given) > 1 or not hmac.compare_digest(given[0], self._token):
            raise Problem(401, "unauthorized", _wrong_token(given[0]))


def _origin_host(origin: str) -> str | None:
    scheme, separator, host = origin.partition("://")
    return host_name(host) if separator and scheme in ("http", "https") else None


def _values(headers: list[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]


def _wrong_token(given: bytes) -> str:
    if given.split(b" ", 1)[0].lower() in (b"bearer", b"token", b"basic"):
        return "The token in the Authorization header is wrong: send it verbatim, with no scheme word before it."
    return "The token in the Authorization header is wrong."
