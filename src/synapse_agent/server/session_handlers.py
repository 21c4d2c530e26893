"""The handlers of sessions: a browser signs in, gets its session, and signs out."""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import Response
from starlette.types import Scope

from synapse_agent.agent import Agent
from synapse_agent.problems import Problem, invalid
from synapse_agent.server.auth import SESSIONS, TOKEN
from synapse_agent.server.requests import OperationRequest
from synapse_agent.server.responses import json_answer
from synapse_agent.server.sessions import CODE_SECONDS, SESSION_SECONDS, Sessions
from synapse_agent.storage.token_file import Token
from synapse_agent.util.json_text import json_bytes
from synapse_agent.util.times import now


async def create_session(_agent: Agent, request: OperationRequest) -> Response:
    """Exchange a token or a code for a cookie."""
    sessions: Sessions | None = request.scope[SESSIONS]
    if sessions is None:
        return json_answer(_session(None))
    token = _token_for(sessions, request.body)
    cookie = _cookie(request.scope, sessions.cookie, sessions.begin(token), SESSION_SECONDS)
    return json_answer(_session(token), headers={"set-cookie": cookie})


async def get_session(_agent: Agent, request: OperationRequest) -> Response:
    """Return the caller's session."""
    return json_answer(_session(request.scope[TOKEN]))


async def delete_session(_agent: Agent, request: OperationRequest) -> Response:
    """Make the browser delete its cookie."""
    sessions: Sessions | None = request.scope[SESSIONS]
    headers = {} if sessions is None else {"set-cookie": _cookie(request.scope, sessions.cookie, "", 0)}
    return Response(status_code=204, headers=headers)


async def create_session_code(_agent: Agent, request: OperationRequest) -> Response:
    """Create a code for opening a browser."""
    sessions: Sessions | None = request.scope[SESSIONS]
    code = None if sessions is None else sessions.make_code(request.scope[TOKEN])
    expires_at = now(plus=timedelta(seconds=CODE_SECONDS))
    return json_answer(json_bytes({"code": code, "expires_at": expires_at}), 201)


def _token_for(sessions: Sessions, body: dict[str, str]) -> Token:
    if ("token" in body) == ("code" in body):
        raise invalid("one_of", "Pass either a token or a code", at=["body"], value=sorted(body))
    if "token" in body:
        token, why = sessions.find_token(body["token"].encode()), "The token is invalid."
    else:
        token, why = (
            sessions.redeem(body["code"]),
            "The code is invalid, expired or used. `synapse-agent open` creates one.",
        )
    if token is None:
        raise Problem(401, "unauthorized", why)
    return token


def _session(token: Token | None) -> bytes:
    name, is_read_only = (None, False) if token is None else (token.name, not token.may_change)
    return json_bytes({"token": name, "read_only": is_read_only})


def _cookie(scope: Scope, name: str, value: str, seconds: int) -> str:
    origins = [each for header, each in scope["headers"] if header == b"origin"]
    # A proxy may end TLS; then the agent receives HTTP, and only the page's origin shows that the browser uses HTTPS.
    is_secure = scope["scheme"] == "https" or any(each.startswith(b"https://") for each in origins)
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{'; Secure' if is_secure else ''}"
