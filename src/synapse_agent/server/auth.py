"""Decide which requests are admitted: by tokens and sessions, and by `Host` and `Origin`, which web pages can't set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http.cookies import CookieError, SimpleCookie

from starlette.types import ASGIApp, Receive, Scope, Send

from synapse_agent.page.files import FILES
from synapse_agent.problems import Problem
from synapse_agent.server.sessions import Sessions
from synapse_agent.storage.token_file import Token
from synapse_agent.util.hosts import host_name, is_loopback_name

OPEN_PATHS = frozenset({"/health/", "/health/ready", *FILES})
SESSION_PATH = "/session/"
CODE_PATH = "/session_codes/"
PAGE_HEADER = b"synapse-agent-page"
"""The header of the page's requests that change something: other sites' pages can't send it without a preflight."""
READING = ("GET", "HEAD")
TOKEN = "synapse_agent.token"
"""Key of the request's `Token` in a scope; None if the agent needs no token."""
SESSIONS = "synapse_agent.sessions"
"""Key of the `Sessions` in a scope; None if the agent needs no token."""


class AuthMiddleware:
    """An ASGI application that passes admitted requests to the next one."""

    def __init__(self, app: ASGIApp, *, tokens: Sequence[Token], hosts: Iterable[str] = ()) -> None:
        """Without `tokens`, admit every caller."""
        self._app = app
        self._sessions = Sessions(tokens) if tokens else None
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
        scope[SESSIONS] = self._sessions
        scope[TOKEN] = None
        is_beginning = scope["path"] == SESSION_PATH and scope["method"] == "POST"
        if self._sessions is not None and scope["path"] not in OPEN_PATHS and not is_beginning:
            token = scope[TOKEN] = self._token(scope, headers, self._sessions)
            if not (token.may_change or scope["method"] in READING or scope["path"] in (SESSION_PATH, CODE_PATH)):
                message = f"The token {token.name!r} is read-only. Use another one."
                raise Problem(403, "token_read_only", message)

    def _check_host(self, hosts: list[str], own: str) -> None:
        if len(hosts) == 1 and self._serves(host_name(hosts[0]), own):
            return
        found = f"the host {hosts[0][:200]!r}" if len(hosts) == 1 else "a request without exactly one Host"
        hint = "; its operator can allow a name with --allowed-host" if len(hosts) == 1 else ""
        raise Problem(403, "host_not_allowed", f"This agent does not serve {found}{hint}.")

    def _check_origin(self, origin: str, own: str) -> None:
        if not self._serves(_origin_host(origin), own):
            raise Problem(403, "origin_not_allowed", f"This agent rejects requests from pages of {origin[:200]!r}.")

    def _serves(self, name: str | None, own: str) -> bool:
        return name is not None and (name == own or name in self._hosts or is_loopback_name(name))

    def _token(self, scope: Scope, headers: list[tuple[bytes, bytes]], sessions: Sessions) -> Token:
        # No WWW-Authenticate with the 401: browsers would ask for a name and a password.
        given = [value.strip(b" \t") for name, value in headers if name == b"authorization"]
        if not given:
            return _session_token(scope, headers, sessions)
        token = sessions.find_token(_without_scheme(given[0])) if len(given) == 1 else None
        if token is None:
            raise Problem(401, "unauthorized", "The token in the Authorization header is invalid.")
        return token


def _without_scheme(given: bytes) -> bytes:
    """Return what follows `Bearer`, or the whole value: both forms are accepted."""
    scheme, _, rest = given.partition(b" ")
    return rest.strip(b" \t") if scheme.lower() == b"bearer" else given


def _session_token(scope: Scope, headers: list[tuple[bytes, bytes]], sessions: Sessions) -> Token:
    cookie = _cookie(headers, sessions.cookie)
    token = None if cookie is None else sessions.token_of(cookie)
    if token is None:
        raise Problem(401, "unauthorized", "This agent requires its token in the Authorization header.")
    if scope["method"] not in READING and not any(name == PAGE_HEADER for name, _ in headers):
        message = "With a session cookie, a request that changes something needs the header Synapse-Agent-Page."
        raise Problem(403, "page_header_missing", message)
    return token


def _cookie(headers: list[tuple[bytes, bytes]], name: str) -> str | None:
    for value in _values(headers, b"cookie"):
        try:
            found = SimpleCookie(value).get(name)
        except CookieError:
            continue
        if found is not None:
            return found.value
    return None


def _origin_host(origin: str) -> str | None:
    scheme, separator, host = origin.partition("://")
    return host_name(host) if separator and scheme in ("http", "https") else None


def _values(headers: list[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]
