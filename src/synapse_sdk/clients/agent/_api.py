"""The typed attrs API on a facade's session: generated functions take these as their `client`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from synapse_agent_api.client import AuthenticatedClient
from synapse_sdk.clients.agent._answers import Answer, http_error, unreadable
from synapse_sdk.clients.agent._config import Config, limits

if TYPE_CHECKING:
    from synapse_sdk.clients.agent._http import httpx
    from synapse_sdk.clients.agent._session import AsyncSession, Session


class Api(AuthenticatedClient):
    """A generated client whose requests go through a facade's session and fail with its errors."""

    def unexpected(self, response: httpx.Response, cause: Exception | None = None) -> Exception:
        """Return our error for an answer that is not what the contract says."""
        answer = Answer(response.status_code, response.headers, response.content)
        return http_error(answer) if cause is None else unreadable(answer, f"does not fit the contract ({cause!r})")


def make_api(session: Session) -> Api:
    """Return a client for the generated `sync` functions."""
    return _bare(session.config).set_httpx_client(cast("httpx.Client", _Requests(session)))


def make_async_api(session: AsyncSession) -> Api:
    """Return a client for the generated `asyncio` functions."""
    return _bare(session.config).set_async_httpx_client(cast("httpx.AsyncClient", _Requests(session)))


def _bare(config: Config) -> Api:
    # The session adds the tokens, so that they are in no attribute of a client that users may print.
    return Api(base_url=config.base_url, token="", prefix="", raise_on_unexpected_status=True)


class _Requests:
    """The one method of the HTTP library's clients that generated functions call, on a session."""

    def __init__(self, session: Session | AsyncSession) -> None:
        self._session = session

    def request(self, method: str, url: str, headers: dict[str, str] | None = None, **body_and_query: Any) -> Any:
        config = self._session.config
        return self._session.request(
            method,
            config.base_url + url,
            headers={**config.headers, **(headers or {})},
            extensions={"timeout": limits("run" if method.upper() == "POST" else "control", config.timeout, None)},
            **body_and_query,
        )
