"""The runner that runs actions on the nodes of a Ray cluster."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from synapse_agent.errors import StartError
from synapse_agent.problems import Problem, shutting_down
from synapse_agent.runner.base import Run, RunListener
from synapse_agent.runner.processes.kept_execution import RunLeft
from synapse_agent.runner.processes.kept_run import LeftRun
from synapse_agent.runner.processes.outcomes import action_stopped
from synapse_agent.runner.ray_cluster import messages
from synapse_agent.runner.ray_cluster.agent_side.connect import Unreachable, connect, identity
from synapse_agent.runner.ray_cluster.agent_side.driver_process import DriverProcess
from synapse_agent.runner.ray_cluster.errors import cluster_unavailable
from synapse_agent.runner.ray_cluster.messages import Begin
from synapse_agent.runner.ray_cluster.placed_jobs import PlacedJobs
from synapse_agent.runner.resources.reports import NodeReport
from synapse_agent.runner.serving.pool import application_not_found
from synapse_agent.settings import Settings, for_other_machines
from synapse_agent.storage.scratch import Scratch
from synapse_agent.storage.trees import make_folder, remove_tree

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 30.0
_END_SECONDS = 15.0
_ANSWER_SECONDS = 20.0
_LOOK_SECONDS = 15.0
_PAUSES = (1.0, 2.0, 5.0, 10.0)
"""Seconds between attempts to reach a lost cluster; the last value repeats."""
_ALONE_SECONDS = 60.0
"""Time within which a node notices that it has no driver; the orphan limit counts from then."""


class RayRunner:
    """Runs each action on a node of the cluster, through a driver that is restarted if it ends."""

    def __init__(self, begin: Begin, link: DriverProcess, *, environ: Mapping[str, str]) -> None:
        """Use a link that is ready; `connected` creates another one."""
        self._begin = begin
        self._environ = environ
        self._link: DriverProcess | None = link
        self._calls: dict[int, _Call] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._looks: dict[int, asyncio.Future[Sequence[NodeReport]]] = {}
        self._numbers = itertools.count(1)
        self._why_lost = ""
        self._placed = PlacedJobs(begin.settings.data_dir)
        self._is_leaving = False
        self._scratch = Scratch(begin.settings.data_dir / "scratch")
        self._is_closed = False
        self._keeping = asyncio.create_task(self._keep(link))

    @classmethod
    async def connected(cls, settings: Settings, *, environ: Mapping[str, str] = os.environ) -> RayRunner:
        """Create a runner whose cluster accepts runs; raise `StartError` if that fails."""
        if importlib.util.find_spec("ray") is None:
            raise StartError(
                "The runner ray needs Ray, which is not installed: pip install 'synapse-agent-client[agent,ray]'."
            )
        begin = Begin(for_other_machines(settings), identity(settings.data_dir))
        try:
            return cls(begin, await connect(begin, environ), environ=environ)
        except Unreachable as error:
            raise StartError(f"The Ray cluster at {settings.ray_address} did not accept the agent: {error}") from error

    async def run(self, run: Run, listener: RunListener) -> bytes:
        """Run one action; see `Runner.run`."""
        made_in, printed = 0.0, 0
        while True:
            try:
                async with listener.turn():
                    return await self._start(self._call(run, listener, made_in), run, printed=printed)
            except _Unprepared as unprepared:  # without a turn, nor a part of the cluster
                begun, call = time.monotonic(), self._call(run, listener)
                await self._start(call, run, prepares=unprepared.node_id)
                made_in += time.monotonic() - begun
                printed += call.received.printed

    def _call(self, run: Run, listener: RunListener, made_in: float = 0.0) -> _Call:
        return _Call(run.job_id, run.accepted, listener, self._scratch.name(), made_in)

    async def _start(self, call: _Call, run: Run, *, prepares: str | None = None, printed: int = 0) -> bytes:
        if self._is_closed:
            raise shutting_down()
        if self._link is None:
            raise self._out_of_reach()
        link = self._link
        return await self._followed(call, lambda number: link.send(messages.Start(number, run, prepares, printed)))

    async def _followed(self, call: _Call, begin: Callable[[int], None]) -> bytes:
        """Send a run to the driver, and return its result."""
        number = next(self._numbers)
        self._calls[number] = call
        try:
            begin(number)
            return await self._outcome(number, call)
        finally:
            del self._calls[number]
            if call.has_outputs:
                await asyncio.to_thread(remove_tree, call.outputs)

    async def find_left(self, lock: int) -> Sequence[LeftRun]:  # noqa: ARG002 - nodes have locks of their own
        """Return the jobs that nodes have, or had; see `Lasting.find_left`."""
        return self._placed.all()

    async def take_up(self, kept: LeftRun, listener: RunListener) -> bytes:
        """Follow such a job to its end; see `Lasting.take_up`."""
        call = _Call(kept.job_id, kept.row, listener, self._scratch.name())
        return await self._followed(call, partial(self._go_on, call))

    def collect(self, row: int) -> None:
        """Make its node remove the files of a job whose end is recorded; see `Lasting.collect`."""
        job = self._placed.find(row)
        if job is not None:
            self._placed.remove(row)
            if self._link is not None:  # else the node removes it when it is back
                self._link.send(messages.Collect(job))

    def leave(self) -> None:
        """Leave the jobs that are on nodes; see `Lasting.leave`."""
        self._is_leaving = True
        for call in self._calls.values():
            if self._placed.find(call.row) is not None:
                call.fail(RunLeft())

    def figures(self) -> Mapping[str, float]:
        """Return nothing: the processes are on the nodes."""
        return {}

    def refusal(self) -> Problem | None:
        """Return why a run would be refused now: the cluster is unreachable, or the runner is closed."""
        if self._is_closed:
            return shutting_down()
        return self._out_of_reach() if self._link is None else None

    async def node_reports(self) -> Sequence[NodeReport]:
        """Query all nodes through the driver; raise `Problem` 503 `cluster_unavailable`."""
        if self._link is None:
            raise self._out_of_reach()
        number = next(self._numbers)
        seen = self._looks[number] = asyncio.get_running_loop().create_future()
        try:
            self._link.send(messages.LookAtNodes(number))
            async with asyncio.timeout(_LOOK_SECONDS):
                reports: Sequence[NodeReport] = await seen
                return reports
        except TimeoutError as error:
            raise cluster_unavailable(f"The cluster has not responded for {_LOOK_SECONDS:g} s") from error
        finally:
            del self._looks[number]

    async def stop(self, job_id: str) -> None:
        """End a run and all its processes; see `Runner.stop`."""
        for number, call in self._calls.items():
            if call.job_id == job_id and not call.outcome.done():  # a job that is left must continue
                self._stop(number)
                if self._link is None:  # its node ends it when it is back
                    call.fail(action_stopped(job_id))

    async def serve_applications(self) -> list[Mapping[str, Any]]:
        """Return the served actions of all nodes; see `Runner.serve_applications`."""
        found: list[Mapping[str, Any]] = await self._ask(messages.ListServed)
        return found

    async def delete_serve_application(self, name: str) -> None:
        """End the workers of a served action on all nodes; see `Runner.delete_serve_application`."""
        if not await self._ask(lambda number: messages.EndServed(number, name)):
            raise application_not_found(name)

    async def _ask(self, question: Callable[[int], object]) -> Any:
        """Send the driver a request, and wait for the response."""
        if self._link is None:
            raise self._out_of_reach()
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            self._link.send(question(number))
            return await asyncio.wait_for(answer, _ANSWER_SECONDS)
        except TimeoutError as error:
            raise self._out_of_reach() from error
        finally:
            del self._answers[number]

    def kept(self) -> Mapping[str, int]:
        """Return nothing: each node keeps its own; see `Runner.kept`."""
        return {}

    async def forget(self, folder: Path) -> None:
        """Make the nodes release what they keep for a removed folder."""
        with suppress(Problem):
            await self._ask(lambda number: messages.Forget(number, folder))

    async def close(self) -> None:
        """End every run, every actor and the driver, except jobs that were left."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._link is not None:
            await self._link.close(limit=_CLOSE_SECONDS, leaves_jobs=self._is_leaving)
        self._keeping.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeping
        self._fail_all("The agent has shut down.")
        await asyncio.to_thread(self._scratch.close)

    async def _outcome(self, number: int, call: _Call) -> bytes:
        try:
            return await asyncio.shield(call.outcome)
        except asyncio.CancelledError:
            if not call.outcome.done():
                self._stop(number)
                await asyncio.wait([call.outcome], timeout=_END_SECONDS)
            raise

    def _stop(self, number: int) -> None:
        if self._link is not None:
            self._link.send(messages.Stop(number))

    async def _keep(self, link: DriverProcess) -> None:
        """Receive the driver's messages, and start another driver if it ends, until the agent is closed."""
        while True:
            await self._listen(link)
            self._link = None
            await link.kill()
            if self._is_closed:
                return
            self._why_lost = link.last_words() or "its driver process has ended"
            logger.warning("The connection to the Ray cluster was lost: %s", self._why_lost)
            self._fail_all("The connection to the Ray cluster was lost while the action ran, which ended it.")
            link = self._link = await self._connected_again()
            for number, call in self._calls.items():
                self._go_on(call, number)
            logger.info("The Ray cluster accepts runs again.")

    async def _listen(self, link: DriverProcess) -> None:
        while (message := await link.receive()) is not None:
            if isinstance(message, messages.Said) and message.number in self._calls:
                self._hear(message.number, message.items)
            elif isinstance(message, messages.Reply):
                if message.number in self._answers and not self._answers[message.number].done():
                    self._answers[message.number].set_result(message.value)
            elif isinstance(message, messages.NodesSeen):
                self._see(message)
            elif isinstance(message, messages.Warned):
                logger.warning("%s", message.text)

    def _see(self, message: messages.NodesSeen) -> None:
        seen = self._looks.get(message.number)
        if seen is None or seen.done():
            return
        if message.silence is not None:
            seen.set_exception(cluster_unavailable(message.silence))
        else:
            seen.set_result(message.reports)

    def _hear(self, number: int, items: tuple[messages.Item, ...]) -> None:
        if self._calls[number].outcome.done():  # a job that is left
            return
        try:
            self._calls[number].hear(items)
        except Exception as error:  # noqa: BLE001 - the listener's error, which its run raises; others continue
            self._calls[number].fail(error)
            self._stop(number)

    async def _connected_again(self) -> DriverProcess:
        began, limit = time.monotonic(), self._begin.settings.orphan_limit
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            await asyncio.sleep(pause)
            if limit is not None and time.monotonic() - began > limit + _ALONE_SECONDS:
                self._fail_jobs()
            try:
                return await connect(self._begin, self._environ)
            except (Unreachable, OSError) as error:  # a lack of processes, or of space for the log, is temporary too
                self._why_lost = str(error)
        raise AssertionError("the pauses never end")

    def _go_on(self, call: _Call, number: int) -> None:
        """Make the driver follow a job that is on a node; without a driver, the next one will."""
        job = self._placed.find(call.row)
        if self._link is not None and job is not None:
            call.forget_unfinished_outputs()
            self._link.send(messages.TakeUp(number, job, call.received))

    def _fail_all(self, why: str) -> None:
        """Fail the runs that have ended with a driver: all except jobs on nodes."""
        for call in self._calls.values():
            if self._is_closed or self._placed.find(call.row) is None:
                call.fail(self._out_of_reach() if call.node is None else _lost(why, call))

    def _fail_jobs(self) -> None:
        """Fail the jobs on nodes, which have ended them by now: their cluster was unreachable for too long."""
        why = "The Ray cluster has been unreachable for longer than --orphan-limit, after which a node ends its jobs."
        for call in self._calls.values():
            if (job := self._placed.find(call.row)) is not None:
                call.node = job.address
                call.fail(_lost(why, call))

    def _out_of_reach(self) -> Problem:
        address = self._begin.settings.ray_address
        message = f"The Ray cluster at {address} is unreachable; the agent keeps trying. Nothing has run."
        return Problem(503, "cluster_unavailable", message, reason=self._why_lost)


class _Unprepared(Exception):
    """The node that would run an action lacks its environment."""

    def __init__(self, node_id: str) -> None:
        super().__init__(node_id)
        self.node_id = node_id


class _Call:
    """A run from its caller's side."""

    def __init__(self, job_id: str, row: int, listener: RunListener, outputs: Path, made_in: float = 0.0) -> None:
        """The run's outputs are collected in the folder `outputs`, created when the first one arrives.

        `made_in` are the seconds that its environment took, which are added to its timings.
        """
        self._made_in = made_in
        self.job_id = job_id
        self.row = row
        self.received = messages.START
        """How much of its messages was handled."""
        self.outputs = outputs
        self.has_outputs = False
        self.node: str | None = None
        """The node on which it may have run."""
        self.outcome: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.outcome.add_done_callback(lambda outcome: outcome.cancelled() or outcome.exception())
        self._listener = listener
        self._result = bytearray()
        self._has_all_outputs = False

    def hear(self, items: tuple[messages.Item, ...]) -> None:
        """Handle news of it."""
        for item in items:
            self._take(item)
        self.received = self.received.after(items)

    def fail(self, error: Exception) -> None:
        """End it, unless it has ended."""
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def forget_unfinished_outputs(self) -> None:
        """Remove incomplete output files: the next driver sends them from the beginning."""
        if not self._has_all_outputs:
            remove_tree(self.outputs)

    def _take(self, item: messages.Item) -> None:
        match item:
            case messages.Placed(node, begins):
                self.node = node
                if begins:
                    self.received = messages.START
                self._listener.event({"type": "placed", "node": node})
            case messages.At(moment):
                self._listener.at(moment)
            case messages.Left():
                self._has_all_outputs = True
            case messages.Started():
                self._listener.started()
            case messages.LogOutput(data):
                self._listener.output(data)
            case messages.RunEvent(event):
                self._listener.event(self._timed(event) if event["type"] == "timings" else event)
            case messages.Part(data):
                self._result += data
            case messages.OutputPart(name, data):
                self._add_output(name, data)
            case messages.Succeeded():
                self._pass_outputs_on()
                self.outcome.set_result(bytes(self._result))
            case messages.Failed():
                self._pass_outputs_on()
                self.fail(item.problem)
            case messages.EnvironmentMissing(node_id):
                self.fail(_Unprepared(node_id))

    def _timed(self, event: Mapping[str, Any]) -> dict[str, Any]:
        return {**event, **{name: event[name] + self._made_in for name in ("environment", "waited")}}

    def _add_output(self, name: str, data: bytes) -> None:
        self.has_outputs = True
        path = self.outputs / name
        make_folder(path.parent)
        with path.open("ab") as file:
            file.write(data)

    def _pass_outputs_on(self) -> None:
        if self.has_outputs:
            self._listener.outputs(self.outputs, True)


def _lost(why: str, call: _Call) -> Problem:
    return Problem(500, "node_lost", why, job_id=call.job_id, node=call.node)
