"""HTTP connections that slow or flooding clients can't block or fill."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from synapse_agent.server.exchange import Exchange
from synapse_agent.server.response_headers import request_id, signature
from synapse_agent.settings import default
from synapse_agent.util.json_text import json_bytes

if TYPE_CHECKING:
    from uvicorn._types import HTTPScope

logger = logging.getLogger(__name__)

MOST_WAITING = 1000
LOG_SECONDS = 10.0
MAX_OVERHEAD_BYTES = 64 * 1024
OVERHEAD_PER_BODY_BYTE = 16
MAX_PIPELINED = 100
"""Requests on one connection that wait for earlier responses; a single read may contain thousands."""


class WaitingConnection(Protocol):
    """A connection without a request: a `Connection`, or the handshake before one."""

    def abort(self) -> None:
        """End it at once."""


class WaitingConnections:
    """The connections that await a request or the rest of one; above a limit, the one idle longest is closed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._connections: OrderedDict[WaitingConnection, None] = OrderedDict()
        self._logged_at = float("-inf")
        self._closed = 0

    def add(self, connection: WaitingConnection) -> None:
        """Add a connection that awaits a request; if there are too many, close the one that was idle longest."""
        self._connections[connection] = None
        if len(self._connections) > self._most:
            oldest, _ = self._connections.popitem(last=False)
            oldest.abort()
            self._log()

    def heard(self, connection: WaitingConnection) -> None:
        """Record that a connection has received data."""
        if connection in self._connections:
            self._connections.move_to_end(connection)

    def remove(self, connection: WaitingConnection) -> None:
        """Remove a connection."""
        self._connections.pop(connection, None)

    def _log(self) -> None:
        self._closed += 1
        if time.monotonic() - self._logged_at >= LOG_SECONDS:
            self._logged_at = time.monotonic()
            message = "More than %d connections are idle: closed the %d that were idle longest."
            logger.warning(message, self._most, self._closed)
            self._closed = 0


def most_waiting() -> int:
    """Return how many connections may await requests: a quarter of the files that this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_WAITING if soft == resource.RLIM_INFINITY else min(MOST_WAITING, soft // 4)


class Connection(HttpToolsProtocol):
    """uvicorn's connection with additional limits: on a request's head, on trailers, and on data after a response.

    uvicorn waits indefinitely for the end of a head, and its parser accepts headers of any size. Here a head must
    arrive within `patience`; all data but the body (head, chunk sizes, trailers) is limited in proportion to it; and
    a body that continues after the response is read for `patience` again.
    """

    patience: float = default("request_timeout")
    waiting = WaitingConnections(MOST_WAITING)
    """Shared by the connections of one server."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.access_log = False  # set here, since uvicorn's option affects every uvicorn in the process
        self._deadline: asyncio.TimerHandle | None = None
        self._received = 0
        self._body = 0
        self._is_in_head = False
        self._is_between_requests = True
        self._idle_since: float | None = None
        """When the last response was complete, while no further data has arrived."""
        self._idle_check: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Start to wait for the first request."""
        super().connection_made(transport)
        self.waiting.add(self)
        self._close_in(self.patience)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        if self._idle_check is not None:
            self._idle_check.cancel()
        self.waiting.remove(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """End it at once."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse the data, and close the connection if the client sends too much besides bodies."""
        if self.transport.is_closing():
            return
        self._received += len(data)
        self._idle_since = None
        self.waiting.heard(self)
        super().data_received(data)
        if self._received - self._body > MAX_OVERHEAD_BYTES + OVERHEAD_PER_BODY_BYTE * self._body:
            self._refuse(431, "headers_too_large", f"The request's headers are larger than {MAX_OVERHEAD_BYTES} bytes.")
        elif self._is_in_head and self._deadline is None:  # most heads arrive complete, and need no timer
            self._close_in(self.patience)

    def on_message_begin(self) -> None:
        """Begin a request's head; the rest must arrive within `patience`."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._stop_waiting()
        self._is_in_head = True
        self._is_between_requests = False

    def on_headers_complete(self) -> None:
        """Handle a complete head; too many pipelined requests are treated as invalid HTTP."""
        self._stop_waiting()
        self._is_in_head = False
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests at once")  # ends parsing and connection, as invalid input does
        self.scope = self._request_scope()
        exchange = self._exchange()
        if self._is_answering():
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))
        else:
            self._start_asgi_task(exchange, self.app)
        self.cycle = exchange

    def on_body(self, body: bytes) -> None:
        """Count the body."""
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Handle a complete request."""
        self._stop_waiting()
        self.waiting.remove(self)
        self._received = self._body = 0
        self._is_between_requests = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begin the next request, or wait for one; soon stop reading a body that continues."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self.waiting.add(self)
        self._idle_since = self.loop.time()
        if self._idle_check is None:  # one for many requests: a timer for each takes longer
            self._idle_check = self.loop.call_later(self.timeout_keep_alive, self._check_idle)
        if not self._is_between_requests:
            self._close_in(self.patience)

    def send_400_response(self, msg: str) -> None:
        """Reject invalid HTTP in the contract's form."""
        self._refuse(400, "invalid_http", msg)

    def _refuse(self, status: int, error_type: str, message: str) -> None:
        if self.transport.is_closing():
            return
        if self._is_answering():
            self.transport.close()
            return
        logger.info("request refused", extra={"status": status, "error_type": error_type})
        body = json_bytes({"detail": {"error_type": error_type, "message": message}})
        head = f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        signed = b"".join(b"%b: %b\r\n" % header for header in signature(request_id([])))
        self.transport.write(head.encode() + signed + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def _request_scope(self) -> HTTPScope:
        url = httptools.parse_url(self.url)
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": self.parser.get_http_version(),
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "method": self.parser.get_method().decode("ascii"),
            "root_path": "",
            "path": url.path.decode("ascii"),
            "raw_path": url.path,
            "query_string": url.query or b"",
            "headers": self.headers,
        }

    def _exchange(self) -> Exchange:
        exchange = Exchange(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.scope["http_version"] != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        exchange.patience = self.patience
        return exchange

    def _check_idle(self) -> None:
        """Close a connection that has been idle for too long, or look again when it may be."""
        self._idle_check = None
        if self._idle_since is None:  # the next response begins to wait again
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle_check = self.loop.call_later(left, self._check_idle)
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _close_in(self, seconds: float) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
