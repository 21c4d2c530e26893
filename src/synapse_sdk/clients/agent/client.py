"""The clients: settings and methods together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from synapse_sdk.clients.agent._request.config import MAX_RESPONSE_BYTES, Config, Timeout, configure
from synapse_sdk.clients.agent._session.session import AsyncSession, Session
from synapse_sdk.clients.agent._transport.transport import AsyncTransport, Transport, TransportSettings
from synapse_sdk.clients.agent.clock import CLOCK, Clock
from synapse_sdk.clients.agent.files import AsyncFileClientMixin, FileClientMixin
from synapse_sdk.clients.agent.health import AsyncHealthClientMixin, HealthClientMixin
from synapse_sdk.clients.agent.hooks import OnRequest, OnResponse
from synapse_sdk.clients.agent.jobs import AsyncJobClientMixin, JobClientMixin
from synapse_sdk.clients.agent.plugin import AsyncPluginClientMixin, PluginClientMixin
from synapse_sdk.clients.agent.publishing import AsyncPublishingClientMixin, PublishingClientMixin
from synapse_sdk.clients.agent.resources import AsyncResourcesClientMixin, ResourcesClientMixin
from synapse_sdk.clients.agent.serving import AsyncServeClientMixin, ServeClientMixin
from synapse_sdk.clients.agent.streaming import AsyncStreamClientMixin, StreamClientMixin

if TYPE_CHECKING:
    from synapse_agent_api.client import AuthenticatedClient
    from synapse_agent_api.http_library import httpx
    from synapse_sdk.clients.agent._transport.tls import Cert, Verify


class _Client:
    """The common part of both clients."""

    _session: Session | AsyncSession
    _owns_connections = True

    @staticmethod
    def _make_session(config: Config, settings: TransportSettings, clock: Clock) -> Session | AsyncSession:
        raise NotImplementedError

    @property
    def base_url(self) -> str:
        """The agent's address, without a trailing slash."""
        return self._session.config.base_url

    def with_options(
        self,
        *,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        max_retries: int | None = None,
    ) -> Self:
        """Return a client with other settings on the same connections; this one is unchanged.

        Settings that are None are kept. Headers are added to those of this client, and replace those of the same name.
        Closing the first client closes the connections.
        """
        config = self._session.config.adapted(
            timeout=timeout, deadline=deadline, headers=headers, max_retries=max_retries
        )
        derived = object.__new__(type(self))
        derived.__dict__.update(self.__dict__)
        derived._session = self._session.adapted(config)
        derived._owns_connections = False
        return derived

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings for `pickle` and `copy`: the copy opens its own connections."""
        settings = self._session.transport.settings
        settings.check_portable()
        kept = {name: value for name, value in self.__dict__.items() if name not in ("_session", "_owns_connections")}
        if self._session.clock is not CLOCK:
            kept["_clock"] = self._session.clock
        return {**kept, "_config": self._session.config, "_settings": settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        config, settings, clock = state.pop("_config"), state.pop("_settings"), state.pop("_clock", CLOCK)
        self.__dict__.update(state)
        self._session = self._make_session(config, settings, clock)


class AgentClient(
    PluginClientMixin,
    PublishingClientMixin,
    StreamClientMixin,
    JobClientMixin,
    FileClientMixin,
    ResourcesClientMixin,
    ServeClientMixin,
    HealthClientMixin,
    _Client,
):
    """A client of one agent. Close it, or use it as a context manager.

    Omitted arguments are read from the environment: `SYNAPSE_AGENT_URL`, `SYNAPSE_AGENT_TOKEN`, `SYNAPSE_USER_TOKEN`
    and `SYNAPSE_TENANT`. So are proxies and CA bundles (`HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`, …).

    Args:
        base_url: The agent's address, with the path prefix that a proxy adds, if any.
        access_token: The agent's token.
        agent_token: Another name of `access_token`.
        user_token: Token of a user to act for.
        tenant: Tenant to act within.
        timeout: Seconds, `{"connect": …, "read": …}` or `(connect, read)`, for every call. By default: 5 s to connect,
            30 s to read, 600 s to read when caching a release, and no limit to read when running an action.
        deadline: Seconds for a whole call, all its attempts and the waits between them. No limit by default.
        headers: Additional headers for every request.
        max_retries: Maximum number of retries of a call that can be repeated; see the table in the documentation.
        on_request: Called with a `RequestInfo` before each request is sent.
        on_response: Called with a `ResponseInfo` when a request has ended.
        max_response_bytes: Maximum size of an answer, decoded; a larger one is a `ResponseParseError`. 1 GiB by
            default.
        verify: False to accept any certificate of the agent, a file or folder of CA certificates to trust, or an
            `ssl.SSLContext`.
        cert: A client certificate: its file, `(file, key)` or `(file, key, password)`.
        transport: An `httpx.BaseTransport` to use instead of the network.
        http_client: Your own `httpx.Client` to use; it is not closed with this client.
        clock: Source of the time and of random pauses, which also waits; for tests.

    Raises:
        ValueError: An argument, or the variable that replaces it, is invalid; the message names it.
        TypeError: An argument has the wrong type.
    """

    _session: Session

    def __init__(
        self,
        base_url: str | None = None,
        access_token: str | None = None,
        *,
        agent_token: str | None = None,
        user_token: str | None = None,
        tenant: str | None = None,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        max_retries: int = 2,
        on_request: OnRequest | None = None,
        on_response: OnResponse | None = None,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        verify: Verify = True,
        cert: Cert | None = None,
        transport: httpx.BaseTransport | None = None,
        http_client: httpx.Client | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        config = configure(
            os.environ,
            base_url=base_url,
            access_token=access_token,
            agent_token=agent_token,
            user_token=user_token,
            tenant=tenant,
            timeout=timeout,
            deadline=deadline,
            headers=headers,
            max_retries=max_retries,
            on_request=on_request,
            on_response=on_response,
            max_response_bytes=max_response_bytes,
        )
        settings = TransportSettings(config.base_url, verify, cert, transport, http_client)
        self._session = self._make_session(config, settings, clock)

    @staticmethod
    def _make_session(config: Config, settings: TransportSettings, clock: Clock) -> Session:
        return Session(config, Transport(settings), clock=clock)

    @property
    def api(self) -> AuthenticatedClient:
        """The client to pass to generated `sync` functions; it shares this client's session.

        Their answers are attrs models, documented errors among them: `ErrorBody` is returned, not raised.
        """
        from synapse_sdk.clients.agent._session.generated_client import make_api

        return make_api(self._session)

    def close(self) -> None:
        """Close the connections."""
        if self._owns_connections:
            self._session.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncAgentClient(
    AsyncPluginClientMixin,
    AsyncPublishingClientMixin,
    AsyncStreamClientMixin,
    AsyncJobClientMixin,
    AsyncFileClientMixin,
    AsyncResourcesClientMixin,
    AsyncServeClientMixin,
    AsyncHealthClientMixin,
    _Client,
):
    """The asynchronous twin of `AgentClient`, which describes the arguments.

    `transport` is an `httpx.AsyncBaseTransport` here, `http_client` an `httpx.AsyncClient`. Close it with
    `await client.aclose()` or `async with`.
    """

    _session: AsyncSession

    def __init__(
        self,
        base_url: str | None = None,
        access_token: str | None = None,
        *,
        agent_token: str | None = None,
        user_token: str | None = None,
        tenant: str | None = None,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        max_retries: int = 2,
        on_request: OnRequest | None = None,
        on_response: OnResponse | None = None,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        verify: Verify = True,
        cert: Cert | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        http_client: httpx.AsyncClient | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        config = configure(
            os.environ,
            base_url=base_url,
            access_token=access_token,
            agent_token=agent_token,
            user_token=user_token,
            tenant=tenant,
            timeout=timeout,
            deadline=deadline,
            headers=headers,
            max_retries=max_retries,
            on_request=on_request,
            on_response=on_response,
            max_response_bytes=max_response_bytes,
        )
        settings = TransportSettings(config.base_url, verify, cert, transport, http_client)
        self._session = self._make_session(config, settings, clock)

    @staticmethod
    def _make_session(config: Config, settings: TransportSettings, clock: Clock) -> AsyncSession:
        return AsyncSession(config, AsyncTransport(settings), clock=clock)

    @property
    def api(self) -> AuthenticatedClient:
        """The client to pass to generated `asyncio` functions; it shares this client's session.

        Their answers are attrs models, documented errors among them: `ErrorBody` is returned, not raised.
        """
        from synapse_sdk.clients.agent._session.generated_client import make_async_api

        return make_async_api(self._session)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._owns_connections:
            await self._session.transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
