"""A run that outlives the agent, followed to its end by the agent that has begun it or by the next one."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, socketpair
from typing import Any

from synapse_agent.runner.keeper import protocol
from synapse_agent.runner.processes.execution import KILLED_SECONDS, ProcessExit, in_memory
from synapse_agent.runner.processes.keeper import KeeperProcess, ZygoteLost
from synapse_agent.runner.processes.kept_run import BEFORE, OUTPUTS, KeptRun, is_alive
from synapse_agent.runner.processes.reports import ReportReader
from synapse_agent.runner.processes.spool_reader import LOG_BYTES, SpoolReader

_LOOK_SECONDS = 0.5
"""How often an agent polls if the keeper can't wake it."""


_GATHER_SECONDS = 0.01
"""Pause before the next piece of the log of a run that prints much."""


class RunLeft(Exception):
    """The agent ends, and leaves the run to its keeper."""


class KeptExecution:
    """Follows one run by the files that its keeper writes."""

    def __init__(
        self,
        kept: KeptRun,
        *,
        on_output: Callable[[bytes], None],
        on_event: Callable[[Mapping[str, Any]], None],
        on_moment: Callable[[float], None],
        on_started: Callable[[], None],
        on_outputs: Callable[[Path, bool], None],
        on_uncompiled: Callable[[bytes], None] | None = None,
    ) -> None:
        """`on_moment` receives the time of what is passed on next."""
        self.kept = kept
        self._on_output = on_output
        self._on_moment = on_moment
        self._on_started = on_started
        self._on_outputs = on_outputs
        self._reports = ReportReader(
            on_event, on_finished=lambda: None, on_uncompiled=on_uncompiled, limit=kept.result_bytes
        )
        self._keeper: KeeperProcess | None = None
        self._number = 0
        self.folder: Path | None = None
        """The folder of the files that the keeper writes; None before the run is handed over."""
        self._has_started = False
        self._timed_out = False
        self._is_lost = False
        """Whether its keeper writes no more."""
        self._status: int | None = None
        self._is_left = False
        self._changed = asyncio.Event()
        self.end: Mapping[str, Any] = {}
        """How it ended, as the keeper has written it; empty before that, or if the keeper was lost."""

    async def run(
        self, keeper: KeeperProcess, request: Mapping[str, Any], params: bytes, *, before: bytes, locks: Sequence[int]
    ) -> ProcessExit:
        """Hand the run to its keeper, which holds the locks from then on, and follow it to its end.

        `before` is its output until now. Cancelling asks it to end. Raises `ZygoteLost` if it never started,
        `RunLeft` after `leave`.
        """
        with ExitStack() as stack:
            wake = self._waker(stack)
            with ExitStack() as at_once:
                log, printed = os.pipe2(os.O_CLOEXEC)
                at_once.callback(os.close, log)
                at_once.callback(os.close, printed)
                heard, reported = (at_once.enter_context(each) for each in socketpair(AF_UNIX, SOCK_DGRAM))
                file = in_memory(json.dumps({**request, "secret": self.kept.secret}).encode() + b"\n", params)
                at_once.callback(os.close, file)
                number = keeper.next_number()
                folder = self._folder_in(keeper, number)
                self._begin(keeper, number, folder)
                self.kept.write(folder, before)
                await keeper.run(
                    self,
                    (reported.fileno(), printed, file, log, heard.fileno(), wake, *locks),
                    limit=self.kept.time_limit,
                    grace=self.kept.grace,
                    shows=bool(request["shown"] or request["inputs"]),
                    number=number,
                )
            return await self._follow(folder)

    async def take_up(self, keeper: KeeperProcess | None, folder: Path) -> ProcessExit:
        """Follow a run that an earlier agent has left in this folder; without a keeper, read what is written."""
        with ExitStack() as stack:
            self._begin(keeper, int(folder.name), folder)
            with suppress(FileNotFoundError):
                self._on_output((folder / BEFORE).read_bytes())
            if keeper is not None and keeper.alive:
                with suppress(ZygoteLost):  # it has ended in the same moment
                    await keeper.follow(self, self._number, self._waker(stack))
            else:
                self._keeper = None
            return await self._follow(folder)

    def leave(self) -> None:
        """Stop following it; it continues."""
        self._is_left = True
        self._changed.set()

    def started(self, outputs: Path) -> None:
        """See `Child`: the keeper records this instead."""

    def timed_out(self) -> None:
        """See `Child`: the keeper records this instead."""

    def ended(self, status: int | None) -> None:
        """Handle the notice that the keeper could not begin to record the run, or has ended."""
        self._status = status
        self._is_lost = True
        self._changed.set()

    @staticmethod
    def _folder_in(keeper: KeeperProcess, number: int) -> Path:
        assert keeper.folder is not None
        return keeper.folder / str(number)

    def _begin(self, keeper: KeeperProcess | None, number: int, folder: Path) -> None:
        self._keeper, self._number, self.folder = keeper, number, folder

    def _waker(self, stack: ExitStack) -> int:
        """Return an eventfd by which the keeper announces something new."""
        wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        stack.callback(os.close, wake)
        loop = asyncio.get_running_loop()

        def hear() -> None:
            with suppress(BlockingIOError):
                os.eventfd_read(wake)
            self._changed.set()

        loop.add_reader(wake, hear)
        stack.callback(loop.remove_reader, wake)
        return wake

    async def _follow(self, folder: Path) -> ProcessExit:
        reader = SpoolReader(
            folder,
            self._reports,
            on_output=self._on_output,
            on_moment=self._on_moment,
            on_started=self._hear_start,
            on_timed_out=self._hear_time_limit,
        )
        try:
            await self._read_to_the_end(reader, folder)
        except asyncio.CancelledError:
            if self._is_left:  # and stopped in the same moment
                raise RunLeft from None
            await self._end_it(reader, folder)
            raise
        finally:
            reader.close()
            if self._keeper is not None:
                self._keeper.forget(self._number)
        return self._judge(reader.end, folder)

    async def _read_to_the_end(self, reader: SpoolReader, folder: Path) -> None:
        while True:
            self._changed.clear()
            is_lost = self._is_lost or (self._keeper is None and not is_alive(folder.parent))
            printed = reader.printed
            has_more = reader.read()
            if self._is_left:
                raise RunLeft
            if reader.end is not None or (is_lost and not has_more):
                return
            if has_more:
                self._changed.set()
                await asyncio.sleep(0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), None if self._keeper else _LOOK_SECONDS)
            if reader.printed - printed >= LOG_BYTES:
                await asyncio.sleep(_GATHER_SECONDS)

    async def _end_it(self, reader: SpoolReader, folder: Path) -> None:
        """Ask it to end, and wait for that; a keeper that does not respond is killed."""
        if self._keeper is None:
            return
        self._keeper.stop(self._number)
        try:
            async with asyncio.timeout(self.kept.grace + KILLED_SECONDS):
                await self._read_to_the_end(reader, folder)
        except TimeoutError:
            self._keeper.kill()

    def _hear_start(self, outputs: Path) -> None:
        if not self._has_started:
            self._has_started = True
            self._on_started()
        self._on_outputs(outputs, False)

    def _hear_time_limit(self) -> None:
        self._timed_out = True

    def _judge(self, end: Mapping[str, Any] | None, folder: Path) -> ProcessExit:
        self.end = end or {}
        self._on_outputs(folder / OUTPUTS, True)
        status = self._status if end is None or end["kind"] != protocol.ENDED.decode() else end["status"]
        if not self._has_started and status is None:
            raise ZygoteLost(self.end.get("words") or self._last_words())
        return ProcessExit.of(status, self._reports, timed_out=self._timed_out)

    def _last_words(self) -> str:
        return "" if self._keeper is None else self._keeper.last_words()
