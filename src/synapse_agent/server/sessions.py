"""Sessions of browsers, which can't add a token header to the request for an image, a link or an `EventSource`.

A session is a signed cookie with the name of a token and its expiry, and the token is the key. It outlives the
agent's process; replacing the token ends it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence

from synapse_agent.storage.token_file import Token

SESSION_SECONDS = 12 * 3600
CODE_SECONDS = 120
MOST_CODES = 100


class Sessions:
    """Creates sessions for tokens, and recognizes their cookies."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._codes: dict[str, tuple[Token, float]] = {}
        identity = hashlib.sha256("".join(_key(token).hex() for token in tokens).encode()).hexdigest()
        self.cookie = f"synapse_agent_{identity[:12]}"
        """Its name differs between agents: browsers send a host's cookies to all its ports."""

    def find_token(self, secret: bytes) -> Token | None:
        """Return the token with this secret. All are compared, so that the duration reveals nothing."""
        matching = [token for token in self._tokens if hmac.compare_digest(token.secret.encode(), secret)]
        return matching[0] if matching else None

    def begin(self, token: Token) -> str:
        """Return the cookie value of a new session."""
        until = int(time.time()) + SESSION_SECONDS
        return f"{token.name}.{until}.{_signature(token, until)}"

    def token_of(self, cookie: str) -> Token | None:
        """Return the token of a session; None if it has expired or was not created here."""
        name, _, rest = cookie.rpartition(".")[0].rpartition(".")
        signature = cookie.rpartition(".")[2]
        if not rest.isascii() or not rest.isdecimal() or int(rest) < time.time():
            return None
        for token in self._tokens:
            if token.name == name and hmac.compare_digest(_signature(token, int(rest)), signature):
                return token
        return None

    def make_code(self, token: Token) -> str:
        """Create a code that starts one session within `CODE_SECONDS`."""
        self._forget_codes()
        code = secrets.token_urlsafe(24)
        self._codes[code] = (token, time.monotonic() + CODE_SECONDS)
        return code

    def redeem(self, code: str) -> Token | None:
        """Return the token of a code; None if it was used before, or has expired."""
        self._forget_codes()
        found = self._codes.pop(code, None)
        return None if found is None else found[0]

    def _forget_codes(self) -> None:
        now = time.monotonic()
        fresh = [(code, found) for code, found in self._codes.items() if found[1] > now]
        self._codes = dict(fresh[-MOST_CODES:])


def _key(token: Token) -> bytes:
    return hmac.digest(token.secret.encode(), b"sessions of synapse-agent", "sha256")


def _signature(token: Token, until: int) -> str:
    return hmac.new(_key(token), f"{token.name}.{until}".encode(), "sha256").hexdigest()
