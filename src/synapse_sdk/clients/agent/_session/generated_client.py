"""The typed attrs API with a facade's session: generated functions accept these as their `client`.

Each function sends one request, without the other features of the facade's methods, such as retries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from synapse_agent_api.client import AuthenticatedClient
from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._request.config import Config, limits
from synapse_sdk.clients.agent._request.prepared import Send
from synapse_sdk.clients.agent._response.errors import Answer, http_error, unreadable
from synapse_sdk.clients.agent.clock import CLOCK
from synapse_sdk.exceptions import ClientError

if TYPE_CHECKING:
    from synapse_agent_api.http_library import httpx
    from synapse_sdk.clients.agent._session.session import AsyncSession, Session


class Api(AuthenticatedClient):
    """A generated client whose requests use a facade's session.

    Errors that the contract documents are returned as models, as by every generated client; all other
    errors are raised as the facade's.
    """

    def get_httpx_client(self) -> httpx.Client:
        """Return the session; a generated client would open its own connections, without tokens and limits."""
        if self._client is None:
            raise TypeError("This is an AsyncAgentClient's api: pass it to the generated asyncio functions.")
        return self._client

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """Return the session; a generated client would open its own connections, without tokens and limits."""
        if self._async_client is None:
            raise TypeError("This is an AgentClient's api: pass it to the generated sync functions.")
        return self._async_client

    def unexpected(self, response: httpx.Response, cause: Exception | None = None) -> Exception:
        """Return our error for an answer that does not match the contract."""
        answer = Answer(response.status_code, response.headers, response.content)
        if cause is None or not response.is_success:
            return http_error(answer)
        return unreadable(answer, f"does not fit the contract ({cause!r})")


def make_api(session: Session) -> Api:
    """Return a client for the generated `sync` functions."""
    return _bare(session.config).set_httpx_client(cast("httpx.Client", _Requests(session)))


def make_async_api(session: AsyncSession) -> Api:
    """Return a client for the generated `asyncio` functions."""
    return _bare(session.config).set_async_httpx_client(cast("httpx.AsyncClient", _AsyncRequests(session)))


def _bare(config: Config) -> Api:
    # The session adds the tokens, so that no attribute of a client contains them, which users may print.
    return Api(base_url=config.base_url, token="", prefix="", raise_on_unexpected_status=True)


class _Requests:
    """The only method of the HTTP library's clients that generated functions call, using a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def request(self, **request: Any) -> httpx.Response:
        reply = self._session.transport.carry(_send(self._session.config, request))
        return _response(reply)


class _AsyncRequests:
    """The asynchronous twin of `_Requests`."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def request(self, **request: Any) -> httpx.Response:
        reply = await self._session.transport.carry(_send(self._session.config, request))
        return _response(reply)


def _send(config: Config, raw: Mapping[str, Any]) -> Send:
    request = calls.generic(raw)
    headers = {**config.headers, **raw.get("headers", {})}
    deadline = None if config.deadline is None else CLOCK.now() + config.deadline
    bounds = limits(request.pace, config.timeout, config.deadline)
    return Send(request, headers, bounds, deadline, config.max_response_bytes, on_new_connection=request.pace == "run")


def _response(reply: Answer | ClientError) -> httpx.Response:
    from synapse_agent_api.http_library import httpx

    if isinstance(reply, ClientError):
        raise reply
    # Its body is already decoded.
    headers = {name: value for name, value in reply.headers.items() if name.lower() != "content-encoding"}
    return httpx.Response(reply.status, headers=headers, content=reply.body)
