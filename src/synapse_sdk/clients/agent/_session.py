"""Send calls and hand back what was judged: the only place where the facade does I/O."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

from synapse_sdk.clients.agent._answers import Answer, judge
from synapse_sdk.clients.agent._calls import Call
from synapse_sdk.clients.agent._config import Config, Timeout, limits
from synapse_sdk.exceptions import ClientConnectionError

if TYPE_CHECKING:
    from synapse_sdk.clients.agent._http import httpx

T = TypeVar("T")
Steps = Generator[Call, Any, T]
"""A method that takes several calls: yields each, is sent what it gave, returns the result."""


class Session:
    """Sends calls through an `httpx.Client`, which it closes when it made it."""

    def __init__(self, config: Config, transport: httpx.BaseTransport | None, http_client: httpx.Client | None) -> None:
        from synapse_sdk.clients.agent import _http

        self.config = config
        self.closed = False
        self._http = _http
        self._owned = http_client is None
        self._client = _http.make_client(transport) if http_client is None else http_client

    def send(self, call: Call, timeout: Timeout | None = None) -> Any:
        """Send one call and return what its answer holds."""
        response = self.request(**request_options(self.config, call, timeout))
        return judge(call, Answer(response.status_code, response.headers, response.content))

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send one request and read its answer; what goes wrong on the way is one of our errors."""
        if self.closed:
            raise closed()
        request = self._client.build_request(method, url, **options)
        try:
            return self._client.send(request, follow_redirects=False)
        except self._http.FAILURES as error:
            raise self._http.failure(error, request) from error

    def drive(self, steps: Steps[T]) -> T:
        """Send the calls of a method one after the other."""
        try:
            call = next(steps)
            while True:
                call = steps.send(self.send(call))
        except StopIteration as stop:
            result: T = stop.value
            return result

    def close(self) -> None:
        """Close the connections that this session opened."""
        self.closed = True
        if self._owned:
            self._client.close()


class AsyncSession:
    """Sends calls through an `httpx.AsyncClient`, which it closes when it made it."""

    def __init__(
        self,
        config: Config,
        transport: httpx.AsyncBaseTransport | None,
        http_client: httpx.AsyncClient | None,
    ) -> None:
        from synapse_sdk.clients.agent import _http

        self.config = config
        self.closed = False
        self._http = _http
        self._owned = http_client is None
        self._client = _http.make_async_client(transport) if http_client is None else http_client

    async def send(self, call: Call, timeout: Timeout | None = None) -> Any:
        """Send one call and return what its answer holds."""
        response = await self.request(**request_options(self.config, call, timeout))
        return judge(call, Answer(response.status_code, response.headers, response.content))

    async def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send one request and read its answer; what goes wrong on the way is one of our errors."""
        if self.closed:
            raise closed()
        request = self._client.build_request(method, url, **options)
        try:
            return await self._client.send(request, follow_redirects=False)
        except self._http.FAILURES as error:
            raise self._http.failure(error, request) from error

    async def drive(self, steps: Steps[T]) -> T:
        """Send the calls of a method one after the other."""
        try:
            call = next(steps)
            while True:
                call = steps.send(await self.send(call))
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def aclose(self) -> None:
        """Close the connections that this session opened."""
        self.closed = True
        if self._owned:
            await self._client.aclose()


def request_options(config: Config, call: Call, timeout: Timeout | None) -> dict[str, Any]:
    """Return the HTTP library's arguments for a call."""
    content_type = {} if call.body is None else {"Content-Type": "application/json"}
    return {
        "method": call.method,
        "url": config.base_url + call.target,
        "headers": {**config.headers, **content_type},
        "content": call.body,
        "extensions": {"timeout": limits(call.pace, config.timeout, timeout)},
    }


def closed() -> ClientConnectionError:
    """Return the error for a call on a closed client."""
    return ClientConnectionError("This client is closed; make a new one.", outcome="not_sent")
