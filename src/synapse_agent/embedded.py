"""An agent inside a Python program: the same server, in its own thread."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 - registers its exit handler before this module does, see `_end_all`
import os
import tempfile
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import uvloop

from synapse_agent.options import type_of
from synapse_agent.server.server import AgentServer
from synapse_agent.settings import Settings, data_folder
from synapse_agent.storage.data_folder import is_abandoned
from synapse_agent.storage.token_file import checked_token, make_token
from synapse_agent.storage.trees import remove_tree
from synapse_agent.util.forks import folder_withheld, port_withheld
from synapse_agent.util.standard_streams import open_closed_descriptors

if TYPE_CHECKING:
    from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient

_TEMPORARY_PREFIX = "synapse-agent-"
_SECONDS_AT_EXIT = 30.0


class EmbeddedAgent:
    """A real agent on loopback, for the duration of a `with` or `async with` block, or from `start()` to `stop()`.

    `plugins` is a folder of plugins, or several; `backend` the address of a backend for all others, with
    `backend_token` if it requires one. Without `data_dir` the agent uses a temporary folder and keeps nothing. Without
    `token` it creates its own, which its clients send. `settings` are further fields of `Settings`, in which a path can
    be text, and a single path can replace several.
    """

    def __init__(
        self,
        plugins: str | Path | Iterable[str | Path] = (),
        *,
        backend: str | None = None,
        backend_token: str | None = None,
        data_dir: str | Path | None = None,
        token: str | None = None,
        **settings: Any,
    ) -> None:
        self.token = make_token() if token is None else checked_token(token, source="`token`")
        self._data_dir = None if data_dir is None else Path(data_dir)
        if backend_token is not None:
            checked_token(backend_token, source="`backend_token`")
        sources = {"plugins": plugins, "backend": backend, "backend_token": backend_token}
        given = {name: value for name, value in sources.items() if value not in ((), None)}
        self._settings = _with_paths({**given, "token": self.token, **settings})
        self._thread: _AgentThread | None = None

    @property
    def base_url(self) -> str:
        """The address of the running agent."""
        if self._thread is None:
            raise RuntimeError(
                "The agent is not running: call its `start()`, or use it as a context manager: "
                "`with EmbeddedAgent(...) as agent:`."
            )
        return self._thread.ready.result()

    def client(self, **options: Any) -> AgentClient:
        """Return a client for this agent; `options` are `AgentClient`'s."""
        from synapse_sdk.clients.agent import AgentClient

        return AgentClient(**{"base_url": self.base_url, "access_token": self.token, **options})

    def async_client(self, **options: Any) -> AsyncAgentClient:
        """Return an async client for this agent; `options` are `AsyncAgentClient`'s."""
        from synapse_sdk.clients.agent import AsyncAgentClient

        return AsyncAgentClient(**{"base_url": self.base_url, "access_token": self.token, **options})

    def start(self) -> Self:
        """Start the agent until it is stopped; raise `StartError` if it cannot start.

        In a notebook: `agent = EmbeddedAgent("plugins").start()`. The end of the program stops it, too.
        """
        thread = self._start()
        try:
            thread.ready.result()
        except BaseException:
            self._begin_end().join()
            raise
        return self

    def stop(self) -> None:
        """Stop the agent, its runs and its thread, and remove its temporary folder; do nothing if it is not running."""
        if self._thread is not None:
            self._begin_end().join()

    def __repr__(self) -> str:
        """Show the address and the plugins, but never the token."""
        thread = self._thread
        is_ready = thread is not None and thread.ready.done() and thread.ready.exception() is None
        plugins = ", ".join(map(str, self._settings.get("plugins", ())))
        return f"<EmbeddedAgent {self.base_url if is_ready else 'not running'}, plugins: {plugins or 'none'}>"

    def __enter__(self) -> Self:
        """Start the agent; raise `StartError` if it cannot start."""
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop the agent, its runs and its thread, and remove its temporary folder."""
        self._begin_end().join()

    async def __aenter__(self) -> Self:
        """Start the agent without blocking the event loop; raise `StartError` if it cannot start."""
        thread = self._start()
        try:
            await asyncio.wrap_future(thread.ready)
        except BaseException:
            await self._begin_end().ended_async()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Stop the agent like `stop()`, without blocking the event loop."""
        await self._begin_end().ended_async()

    def _start(self) -> _AgentThread:
        if self._thread is not None:
            raise RuntimeError("The agent is already running.")
        open_closed_descriptors()
        self._thread = _AgentThread(self._data_dir, self._settings)
        return self._thread

    def _begin_end(self) -> _AgentThread:
        thread, self._thread = self._thread, None
        if thread is None:
            raise RuntimeError("The agent is not running.")
        thread.stop()
        return thread


class _AgentThread:
    """A thread that runs an event loop with an agent."""

    def __init__(self, data_dir: Path | None, settings: dict[str, Any]) -> None:
        self._process = os.getpid()
        self.ready: Future[str] = Future()
        """The base URL, or the error of the start."""
        self._ended: Future[None] = Future()
        for future in (self.ready, self._ended):
            future.set_running_or_notify_cancel()  # a cancelled wait does not cancel it
        self._data_dir = data_dir
        self._settings = settings
        self._thread = threading.Thread(target=self._main, name="synapse-agent", daemon=True)
        self._thread.start()
        _running.add(self)

    def stop(self) -> None:
        """Stop the agent as soon as it has started."""
        if self._is_here:
            self.ready.add_done_callback(lambda _: self._tell())

    def join(self) -> None:
        """Wait for the end; raise the agent's error, if any."""
        if self._is_here:
            self._thread.join()
            self._ended.result()

    async def ended_async(self) -> None:
        """Wait for the end without blocking; raise the agent's error, if any."""
        if self._is_here:
            await asyncio.wrap_future(self._ended)
            self._thread.join()

    @property
    def _is_here(self) -> bool:
        """Whether the agent is in this process; a forked one has only this object."""
        return self._process == os.getpid()

    def end_at_exit(self) -> None:
        """Stop an agent that was never closed, and kill its runs, since its temporary folder would be left."""
        self.stop()
        self.stop()
        if self._is_here:
            self._thread.join(_SECONDS_AT_EXIT)

    def _tell(self) -> None:
        if self.ready.exception() is None:
            self._loop.call_soon_threadsafe(self._server.stop)

    def _main(self) -> None:
        try:
            with ExitStack() as undo, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve(undo))
        except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
            self._fail(error)
        else:
            self._ended.set_result(None)
        finally:
            _running.discard(self)

    async def _serve(self, undo: ExitStack) -> None:
        self._loop = asyncio.get_running_loop()
        data_dir = data_folder(self._data_dir) if self._data_dir else _temporary(undo)
        settings = Settings(data_dir=data_dir, **self._settings)
        undo.enter_context(folder_withheld(settings.data_dir))

        def ready(base_url: str) -> None:
            undo.enter_context(port_withheld(urlsplit(base_url).port or 0))
            self.ready.set_result(base_url)

        self._server = AgentServer(settings)
        await self._server.run(on_ready=ready)

    def _fail(self, error: BaseException) -> None:
        if self.ready.done():
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)
            self.ready.set_exception(error)


_running: set[_AgentThread] = set()


def _end_all() -> None:
    """Stop the agents that still run when the program ends.

    `atexit` runs after the executors of all threads have shut down, but an agent needs its own to stop. Handlers
    that were registered here first are called last.
    """
    for thread in list(_running):
        thread.end_at_exit()


threading._register_atexit(_end_all)  # type: ignore[attr-defined]


def _with_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Convert text to paths, in the settings that are paths by their type."""
    types = {each.name: type_of(each) for each in fields(Settings)}
    several = {name: _as_paths(value) for name, value in settings.items() if types.get(name) == tuple[Path, ...]}
    single = {name: value and Path(value) for name, value in settings.items() if types.get(name) == Path | None}
    return {**settings, **several, **single}


def _as_paths(value: str | Path | Iterable[str | Path]) -> tuple[Path, ...]:
    return tuple(map(Path, [value] if isinstance(value, str | Path) else value))


def _temporary(undo: ExitStack) -> Path:
    _remove_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX))
    undo.callback(remove_tree, folder)
    return folder


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of killed agents: their locks have no holder."""
    for folder in parent.glob(f"{_TEMPORARY_PREFIX}*"):
        if is_abandoned(folder):
            remove_tree(folder)
