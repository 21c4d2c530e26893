"""An agent with its listening socket, from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import math
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

from synapse_agent.agent import Agent, open_agent
from synapse_agent.errors import StartError
from synapse_agent.runner.factory import make_runner
from synapse_agent.server.app import build_app
from synapse_agent.server.connection import Connection, WaitingConnections, most_waiting
from synapse_agent.server.handshakes import Handshakes
from synapse_agent.server.parser_process import BodyParser
from synapse_agent.server.tls import load, server_context
from synapse_agent.settings import Settings
from synapse_agent.storage.token_file import TOKEN_FILE, Token, read_token, read_tokens
from synapse_sdk._version import __version__

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 75
KILL_SECONDS = 5
"""Time for the runner to kill runs that did not end by themselves."""
BACKSTOP_SECONDS = 5
"""Time after which uvicorn itself ends what should have ended before."""
LOOK_SECONDS = 0.005
"""Time between two looks for connections that are still open."""
TICKS_A_SECOND = 10
"""uvicorn's frequency."""
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class AgentServer:
    """Serves one agent until it is stopped."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tls: ssl.SSLContext | None = None
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._leaves_jobs = False

    async def run(self, *, on_ready: Callable[[str], None]) -> None:
        """Listen, report the base URL once requests are accepted, and serve until `stop()`.

        Raises `StartError` if the agent cannot start.
        """
        if self._settings.tls_cert and self._settings.tls_key:
            self._tls = server_context(self._settings.tls_cert, self._settings.tls_key)
        with _listening(self._settings.host, self._settings.port) as listener:
            tokens = read_tokens(self._settings)
            async with open_agent(self._settings, make_runner) as agent:
                await self._serve(agent, tokens, listener, on_ready)

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopping.is_set()

    def stop(self, *, leaves_jobs: bool = False) -> None:
        """Accept no more requests and wait for running actions; a second call stops them at once.

        With `leaves_jobs`, jobs that can outlive the agent continue.
        """
        if self._stopping.is_set():
            self._hurrying.set()
        else:
            self._leaves_jobs = leaves_jobs
        self._stopping.set()

    def renew_certificate(self) -> None:
        """Reload certificate and key for new connections; invalid files change nothing."""
        if not (self._tls and self._settings.tls_cert and self._settings.tls_key):
            logger.info("Nothing to reload: the agent has no certificate.")
            return
        try:
            server_context(self._settings.tls_cert, self._settings.tls_key)
            load(self._tls, self._settings.tls_cert, self._settings.tls_key)
            logger.info("Reloaded the certificate %s.", self._settings.tls_cert)
        except StartError as error:
            logger.warning("The certificate was not reloaded. %s", error)

    def _log_start(self, agent: Agent, tokens: Sequence[Token], base_url: str) -> None:
        facts = {
            "version": __version__,
            "page": f"{base_url}/",
            "data_dir": str(agent.folder.root),
            "runner": self._settings.runner,
            "runs_at_once": self._settings.runs_at_once,
            "isolation": agent.sandbox.level,
            "tokens": ",".join(token.name for token in tokens) or "none: all users of this machine are admitted",
        }
        logger.info("agent started", extra=facts)
        kept = agent.folder.root / TOKEN_FILE
        if kept.exists() and self._settings.token == read_token(kept):
            logger.info("callers must send the token in %s", kept)

    async def _serve(
        self, agent: Agent, tokens: Sequence[Token], listener: socket.socket, on_ready: Callable[[str], None]
    ) -> None:
        parser = BodyParser()
        app = build_app(agent, self._settings, parser, tokens)
        server = _server(app, self._settings, self._tls)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await _first(serving, server.is_accepting)
        base_url = _base_url("https" if self._tls else "http", self._settings.host, listener)
        try:
            self._log_start(agent, tokens, base_url)
            on_ready(base_url)
        except Exception:
            server.end()  # an open listener would keep uvloop from closing
            await serving
            raise
        await _first(serving, self._stopping)
        logger.info(
            "Stopping: waiting up to %g s for running actions; a second signal stops them at once.",
            self._settings.grace,
        )
        server.end()
        limit = self._settings.grace + KILL_SECONDS
        ending = asyncio.create_task(agent.close(limit=limit, leaves_jobs=self._leaves_jobs))
        await _first(ending, self._hurrying)
        if self._hurrying.is_set():
            ending.cancel()
        await asyncio.wait([ending])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.answer_timeout):
                await _first(serving, self._hurrying)
        server.hang_up()
        await serving
        await parser.close()


class _Uvicorn(uvicorn.Server):
    """uvicorn's server without its signal handlers, which end the process, and with a callback once it accepts."""

    def __init__(self, config: uvicorn.Config, handshakes: Handshakes | None) -> None:
        super().__init__(config)
        self._handshakes = handshakes
        self.is_accepting = asyncio.Event()
        self._ending = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then call back."""
        await super().startup(sockets if self._handshakes is None else [])
        if self._handshakes is not None:
            for listener in sockets or []:
                self._handshakes.begin(listener, self._connection)
        self.is_accepting.set()

    async def main_loop(self) -> None:
        """Run periodic tasks every second, and end as soon as `end()` is called; uvicorn itself checks every 0.1 s."""
        for tick in itertools.count(step=TICKS_A_SECOND):
            if await self.on_tick(tick):
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close idle connections, and wait for the responses of the others; uvicorn itself waits for 0.1 s at least."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - they have no event
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()

    def end(self) -> None:
        """Accept no more connections, and end once the open ones have their responses."""
        if self._handshakes is not None:
            self._handshakes.end()
        self.should_exit = True
        self._ending.set()

    def _connection(self) -> Connection:
        kind: type[Connection] = self.config.http_protocol_class  # type: ignore[assignment] # `_server` has named it
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def hang_up(self) -> None:
        """Close connections whose clients do not read their responses."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def _server(app: ASGIApp, settings: Settings, tls: ssl.SSLContext | None) -> _Uvicorn:
    waiting = WaitingConnections(most_waiting())
    connection = type("Connection", (Connection,), {"patience": settings.request_timeout, "waiting": waiting})
    config = uvicorn.Config(
        app,
        http=connection,
        ws="none",
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.grace + KILL_SECONDS + settings.answer_timeout) + BACKSTOP_SECONDS,
    )
    handshakes = None if tls is None else Handshakes(tls, patience=settings.request_timeout, waiting=waiting)
    return _Uvicorn(config, handshakes)


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a host name"
        raise StartError(f"The host {host!r} has no address: {why}. Pass another with --host.") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        yield listener


def _cannot_listen(host: str, port: int, error: OSError) -> StartError:
    if error.errno == errno.EADDRINUSE:
        return StartError(f"Port {port} on {host} is in use. Choose another with --port, or a free one with --port 0.")
    return StartError(
        f"The agent cannot listen on {host}, port {port}: {error.strerror}. Pass others with --host and --port."
    )


def _base_url(scheme: str, host: str, listener: socket.socket) -> str:
    name = _WILDCARDS.get(host, host)
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{listener.getsockname()[1]}"


async def _first(task: asyncio.Task[None], event: asyncio.Event) -> None:
    """Wait until a task ends or an event is set, whichever is first."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done() and not event.is_set():
        task.result()
