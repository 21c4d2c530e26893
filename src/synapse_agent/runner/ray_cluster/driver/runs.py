"""Runs on the cluster, from the request to the last message."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from synapse_agent.plugins.project import read_requirements
from synapse_agent.plugins.requirements import RequirementRules, check_requirements, environment_key
from synapse_agent.plugins.resources import Resources
from synapse_agent.problems import Problem
from synapse_agent.runner.base import Run
from synapse_agent.runner.processes.outcomes import action_stopped, not_begun
from synapse_agent.runner.ray_cluster.driver.node_pool import ACTOR_SECONDS, ALONE_END_SECONDS, Nodes, ReadyNode
from synapse_agent.runner.ray_cluster.driver.placement import amounts, described, fitting
from synapse_agent.runner.ray_cluster.driver.reservations import Reservation, Reservations
from synapse_agent.runner.ray_cluster.driver.served import ServedActions, with_one_worker
from synapse_agent.runner.ray_cluster.driver.source_transfer import SourceTransfer
from synapse_agent.runner.ray_cluster.errors import (
    ClusterSilent,
    NodeFailed,
    NodeLost,
    NoneFits,
    cluster_unavailable,
)
from synapse_agent.runner.ray_cluster.messages import (
    START,
    EnvironmentMissing,
    Failed,
    Item,
    Left,
    Offset,
    OutputPart,
    Placed,
    RunEvent,
    SourceMissing,
    Started,
    Succeeded,
)
from synapse_agent.runner.ray_cluster.node.actor import Assignment
from synapse_agent.runner.ray_cluster.placed_jobs import PlacedJob, PlacedJobs
from synapse_agent.runner.ray_cluster.source_archive import PIECE_BYTES
from synapse_agent.runner.resources.gpus import HIDDEN
from synapse_agent.runner.resources.ledger import ResourceRequest
from synapse_agent.runner.resources.machine import no_node_fits
from synapse_agent.runner.resources.scheduler import thread_variables
from synapse_agent.storage.disk import disk_full, is_disk_full

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""How often a retryable action is run at most, if its nodes are lost."""
DEAD_SECONDS = 60.0
"""How long the cluster may take to confirm that a lost node's actor has ended."""
STOP_SECONDS = 60.0
"""How long a node may take to end a run; after that it counts as lost."""
JOB_END_SECONDS = 90.0
"""Time after which a node that the cluster has lost has ended its jobs: Ray looks for the head for 60 s there."""
_SENDINGS = 3
_STOP_AGAIN_SECONDS = 0.5

Say = Callable[[int, tuple[Item, ...]], Awaitable[None]]


@dataclass(eq=False, slots=True)
class _PlacedRun:
    """An unfinished run."""

    number: int
    job_id: str
    outlives: bool = False
    """Whether it continues without this driver, once a node has it."""
    prepares: str | None = None
    """The node on which only its environment is made."""
    printed: int = 0
    """Bytes of its log that were printed before it was sent here."""
    task: asyncio.Task[None] | None = None
    node: ReadyNode | None = None
    """The node that it was sent to."""
    is_to_stop: bool = False
    is_left: bool = False
    """Whether it continues without this driver."""
    job: PlacedJob | None = None
    """Its record, if it is a job that a node may have."""
    received: Offset = START
    """How much of its messages was passed on."""
    loss: Problem | None = None
    """The problem of a lost node on which it ran; from then on, it counts as having run."""


class Runs:
    """Sends runs to nodes and returns their results."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        leases: Reservations,
        shipping: SourceTransfer,
        say: Say,
        rules: RequirementRules,
        served: ServedActions,
        wait: float,
        placed: PlacedJobs | None = None,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """`say` sends the agent a message; `wait` is how long a run waits for room, in seconds.

        `placed` records jobs, if these outlive the agent.
        """
        self._placed = placed
        self._nodes = nodes
        self._leases = leases
        self._shipping = shipping
        self._say = say
        self._rules = rules
        self._served = served
        self._wait = wait
        self._stop_seconds = stop_seconds
        self._live: dict[int, _PlacedRun] = {}

    @property
    def are_on_nodes(self) -> bool:
        """Whether any run was sent to a node, and ends with this driver."""
        return any(live.node is not None and not live.outlives for live in self._live.values())

    def start(self, number: int, run: Run, *, prepares: str | None = None, printed: int = 0) -> None:
        """Start a run, or only make its environment on the node `prepares`; its events are sent to the agent."""
        outlives = prepares is None and self._outlives(run)
        live = self._live[number] = _PlacedRun(number, run.job_id, outlives, prepares, printed)
        live.task = asyncio.ensure_future(self._run(live, self._take(live, run)))

    def take_up(self, number: int, job: PlacedJob, offset: Offset) -> None:
        """Take over a job that an earlier driver has placed."""
        live = self._live[number] = _PlacedRun(number, job.job_id, outlives=True, job=job, received=offset)
        live.task = asyncio.ensure_future(self._run(live, self._go_on(live, job)))

    def leave(self) -> None:
        """Stop following jobs, which continue."""
        for live in self._live.values():
            if live.job is not None and live.task is not None:
                live.is_left = True
                live.task.cancel()

    async def stop(self, number: int) -> None:
        """End a run on any node, and wait for that; it may be over already."""
        live = self._live.get(number)
        if live is None or live.task is None:
            return
        live.is_to_stop = True
        end = time.monotonic() + self._stop_seconds
        while not live.task.done():
            if live.node is None:
                live.task.cancel()
            elif time.monotonic() < end:
                with suppress(NodeLost, NodeFailed, TimeoutError):
                    await live.node.actor.call("stop", live.job_id, limit=_STOP_AGAIN_SECONDS)
            else:
                self._nodes.lose(live.node, f"it did not end an action within {self._stop_seconds:g} s")
            await asyncio.wait([live.task], timeout=_STOP_AGAIN_SECONDS)

    async def stop_all(self, *, limit: float, leaves_jobs: bool = False) -> None:
        """End all runs, or all but jobs."""
        if leaves_jobs:
            self.leave()
        stopping = [asyncio.ensure_future(self.stop(number)) for number in self._live]
        if stopping:
            await asyncio.wait(stopping, timeout=limit)

    async def _run(self, live: _PlacedRun, work: Awaitable[None]) -> None:
        try:
            await work
        except Problem as problem:
            await self._end(live, problem)
        except asyncio.CancelledError:
            if not live.is_left:
                await self._end(live, action_stopped(live.job_id))
        except Exception as error:
            logger.exception("Job %s failed in the driver", live.job_id)
            await self._end(live, disk_full() if is_disk_full(error) else _internal_error(live.job_id))
        finally:
            del self._live[live.number]

    async def _end(self, live: _PlacedRun, problem: Problem) -> None:
        await self._say(live.number, (Failed.of(problem),))

    def _outlives(self, run: Run) -> bool:
        is_job = run.config.action(run.action).method == "job"
        return self._placed is not None and is_job and not run.describes and not run.warms

    async def _take(self, live: _PlacedRun, run: Run) -> None:
        """Send a run to a node, and to another one if that is lost and the run may be repeated."""
        environment = _environment_key(run, self._rules)
        digest = await self._shipping.digest(run.folder, is_release=run.release is not None)
        if live.prepares is not None:
            await self._prepare(live, live.prepares, Assignment(run, digest, {}, environment, prepares=True))
            return
        attempts = 0
        while attempts < ATTEMPTS:
            try:
                if await self._attempt(live, run, digest, environment):
                    return
                attempts += 1
            except Problem as problem:
                if live.loss is None or problem is live.loss or live.is_to_stop or self._nodes.ready():
                    raise live.loss or problem from problem
            # It may have been the only node, or the others were lost at the same time.
            await self._nodes.any_ready(limit=min(self._wait, ACTOR_SECONDS))
            if live.loss is not None and not self._nodes.ready():
                raise live.loss
        raise live.loss or cluster_unavailable("Several nodes in turn were lost before they could run the action.")

    async def _prepare(self, live: _PlacedRun, node_id: str, assignment: Assignment) -> None:
        """Make a run's environment on a node, without a reservation; if that is lost, the run finds another one."""
        node = self._nodes.find(node_id)
        if node is not None:
            try:
                await self._run_on(node, live, assignment)
                return
            except NodeLost as lost:
                self._nodes.lose(node, str(lost))
            except NodeFailed as failed:
                live.node = None
                raise _node_failed(node, failed, live) from failed
            finally:
                live.node = None
        await self._say(live.number, (Succeeded(),))

    async def _attempt(self, live: _PlacedRun, run: Run, digest: str, environment: str) -> bool:
        """Run on one node; return False if it was lost, and the run may try another.

        If the node lacks the environment, the agent has it made first, so that nothing is reserved meanwhile.
        """
        run, lease, node, release = await self._reserved(run, environment)
        name = getattr(lease.reserved.handle, "name", None)
        env = _env(run, lease, node)
        try:
            if environment and environment not in node.environments and not run.share:
                await self._say(live.number, (EnvironmentMissing(node.state.id),))
                return True
            await self._run_on(node, live, Assignment(run, digest, env, environment, name, live.outlives))
            return True
        except NodeLost as lost:
            self._nodes.lose(node, str(lost))
            if live.node is not None or live.job is not None:  # otherwise nothing has run
                live.node = None
                await self._note_loss(live, run, node, lost)
            return False
        except NodeFailed as failed:
            raise _node_failed(node, failed, live) from failed
        finally:
            live.node = None
            if not live.is_left:
                release()

    async def _reserved(self, run: Run, environment: str) -> tuple[Run, Reservation, ReadyNode, Callable[[], None]]:
        """Find a node; return the run for it, its reservation, the node, and a function that releases it."""

        def has_environment(node_id: str) -> bool:
            node = self._nodes.find(node_id)
            return node is not None and (not environment or environment in node.environments)

        action = run.config.action(run.action)
        if not action.is_served or run.release is None or run.describes:
            lease, node = await self._place(run.request, has_environment)
            return run, lease, node, lambda: self._leases.give_back(lease)
        request = replace(run.request, wanted=action.resources)  # one call's params don't apply to all
        share = await self._served.acquire(run, action, partial(self._place, request))
        return with_one_worker(run, share), share.lease, share.node, lambda: self._served.release(share)

    async def _place(
        self, request: ResourceRequest, has_environment: Callable[[str], bool]
    ) -> tuple[Reservation, ReadyNode]:
        """Reserve resources on a node, preferably on one that has the environment."""
        while True:
            await self._check_fit(request.wanted)
            with suppress(NoneFits):  # a node was large enough a moment ago
                lease = await self._lease(request, has_environment)
                node = self._nodes.find(lease.node_id)
                if node is not None:
                    return lease, node
                self._leases.give_back(lease)  # its node was lost at the same time

    async def _lease(self, request: ResourceRequest, has_environment: Callable[[str], bool]) -> Reservation:
        try:
            return await self._leases.acquire(request, limit=self._wait, has_environment=has_environment)
        except TimeoutError as error:
            raise _cluster_busy(request.wanted, self._wait) from error
        except ClusterSilent as silent:
            raise cluster_unavailable(str(silent)) from silent

    async def _check_fit(self, wanted: Resources) -> None:
        if not fitting(amounts(wanted), self._nodes.states()) and fitting(amounts(wanted), self._nodes.starting()):
            await self._nodes.settled(limit=self._wait)
        if self._nodes.silence is not None:
            raise cluster_unavailable(self._nodes.silence)
        states = self._nodes.states()
        if not states:
            raise cluster_unavailable(f"No node can run actions: {self._nodes.why_none()}")
        if not fitting(amounts(wanted), states):
            nodes = [described(state) for state in states]
            message = f"No node of the cluster has {wanted}. Nodes: {', '.join(nodes)}."
            raise no_node_fits(wanted, nodes, message)

    async def _run_on(self, node: ReadyNode, live: _PlacedRun, assignment: Assignment) -> None:
        run = assignment.run
        for _ in range(_SENDINGS):
            await self._shipping.send(run.folder, assignment.digest, node)
            if not assignment.prepares:
                await self._shipping.send_files(run.files, node)
                await self._say(live.number, (Placed(node.state.address),))
            live.node = node
            if live.outlives:
                is_over = await self._begin(node, live, assignment)
            else:
                is_over = await self._follow(node, live, node.actor.stream("run", assignment), assignment.environment)
            if is_over:
                return
            live.node = None  # nothing has run
            node.digests.discard(assignment.digest)
        raise NodeFailed("it lost the plugin's files as soon as they had arrived")

    async def _begin(self, node: ReadyNode, live: _PlacedRun, assignment: Assignment) -> bool:
        """Begin a job that continues without this driver, and follow it; return False if the node lacks its source."""
        assert self._placed is not None
        job = PlacedJob.of(
            assignment.run,
            node.state.id,
            node.state.address,
            reservation=assignment.reservation,
            printed=live.job.printed_before + live.received.printed if live.job else live.printed,
        )
        await asyncio.to_thread(self._placed.add, job)  # before the node has it: what runs is always known
        live.job, live.received = job, START
        try:
            await node.actor.call("start", assignment)
        except NodeLost as lost:  # perhaps it has begun
            self._nodes.lose(node, str(lost))
        return await self._follow_job(live, job, assignment.environment)

    async def _go_on(self, live: _PlacedRun, job: PlacedJob) -> None:
        """Follow a job that an earlier driver has placed."""
        lease = await self._leases.adopt(Resources(**job.wanted), job.reservation, job.node_id)
        try:
            await self._say(live.number, (Placed(job.address, begins=False),))
            if not await self._follow_job(live, job):
                raise not_begun(job.job_id)
        except NodeLost as lost:
            raise node_lost(job.address, str(lost), job.job_id) from lost
        finally:
            if not live.is_left:
                self._leases.give_back(lease)

    async def _follow_job(self, live: _PlacedRun, job: PlacedJob, environment: str = "") -> bool:
        """Follow a job to its end, through each actor that its node gets; return False if the node lacks the job.

        Raises `NodeLost` once the cluster has lost the node.
        """
        lost = NodeLost("the cluster has lost it")
        while (node := await self._nodes.back(job.node_id)) is not None:
            live.node = node
            try:
                return await self._follow(node, live, node.actor.stream("follow", job, live.received), environment)
            except (NodeLost, NodeFailed) as error:
                live.node = None
                lost = error if isinstance(error, NodeLost) else lost
                self._nodes.lose(node, str(error))
        raise lost

    async def _follow(
        self, node: ReadyNode, live: _PlacedRun, stream: AsyncIterator[tuple[Item, ...]], environment: str
    ) -> bool:
        """Pass on a run's events until it is over; return False if the node lacks its source."""
        async for items in stream:
            is_prepared = live.prepares is not None and isinstance(items[-1], Succeeded)
            if environment and (is_prepared or any(isinstance(item, Started) for item in items)):
                node.environments.add(environment)
            if isinstance(items[-1], SourceMissing):
                return False
            for item in items:
                if isinstance(item, Left):
                    await self._fetch(node, live, item)
            live.received = live.received.after(items)
            await self._say(live.number, items)
            if isinstance(items[-1], Succeeded | Failed):
                return True
        raise NodeLost("its actor has stopped in the middle of the run")

    async def _fetch(self, node: ReadyNode, live: _PlacedRun, left: Left) -> None:
        """Copy a run's output files to the agent, piece by piece."""
        job_id = live.job_id
        try:
            for name in left.names:
                start = 0
                while True:
                    piece = await node.actor.call("read_left", job_id, name, start)
                    await self._say(live.number, (OutputPart(name, piece),))
                    if len(piece) < PIECE_BYTES:
                        break
                    start += len(piece)
        finally:
            if not live.outlives:  # else another agent may have to fetch them again
                with suppress(NodeLost, NodeFailed, TimeoutError):
                    await node.actor.call("drop_left", job_id)

    async def _note_loss(self, live: _PlacedRun, run: Run, node: ReadyNode, lost: NodeLost) -> None:
        """Return if the run may be repeated, else raise its `Problem`."""
        if live.is_to_stop:
            raise action_stopped(run.job_id)
        live.loss = node_lost(node.state.address, str(lost), run.job_id)
        is_retryable = run.config.action(run.action).retryable
        if not is_retryable or not await _has_ended(node, lost, is_job=live.outlives):
            raise live.loss
        await self._say(live.number, (RunEvent({"type": "event", "event": "node_lost", "data": live.loss.detail}),))


async def _has_ended(node: ReadyNode, lost: NodeLost, *, is_job: bool) -> bool:
    """Wait until nothing on a lost node can still be running; return False if that can't be known.

    If the cluster only considers the node dead, its actor may still exist, and has to notice that it is alone. A job
    does not depend on the actor: it ends with the node's Ray processes, which look for the cluster's head for a while.
    """
    death = await node.actor.death(limit=DEAD_SECONDS)
    if death is None:
        return False
    if is_job:
        await asyncio.sleep(JOB_END_SECONDS)
    elif not lost.has_ended and not death.has_ended:  # the first error may be the broken connection alone
        await asyncio.sleep(node.heard_at + ALONE_END_SECONDS - time.monotonic())
    return True


def node_lost(address: str, why: str, job_id: str) -> Problem:
    """Return the problem of a run that ended with its node."""
    message = f"The node {address} was lost while it ran the action: {why}"
    return Problem(500, "node_lost", message, job_id=job_id, node=address)


def _cluster_busy(wanted: Resources, seconds: float) -> Problem:
    message = f"No node of the cluster had room for {wanted} within {seconds:g} s. Try again later."
    return Problem(503, "cluster_busy", message, resources=wanted.as_dict())


def _node_failed(node: ReadyNode, failed: NodeFailed, live: _PlacedRun) -> Problem:
    if live.node is None:
        return cluster_unavailable(f"The node {node.state.address} could not take the action: {failed}")
    message = f"The node {node.state.address} could not run the action: {failed}"
    return Problem(500, "internal_error", message, job_id=live.job_id, node=node.state.address)


def _internal_error(job_id: str) -> Problem:
    message = "The connection to the cluster failed during this job; ray-driver.log in the data folder has the reason."
    return Problem(500, "internal_error", message, job_id=job_id)


def _env(run: Run, lease: Reservation, node: ReadyNode) -> Mapping[str, str]:
    """Return a run's environment variables: the plugin's, thread counts to match its CPUs, and its GPUs.

    Ray limits the node's actor, which has no CPU of its own, to one thread. A run without GPUs sees none.
    """
    hidden = HIDDEN if node.state.total.get("GPU") else {}
    gpus = lease.reserved.env if lease.wanted.num_gpus else hidden
    return {**thread_variables(lease.wanted), **run.config.env, **gpus}


def _environment_key(run: Run, rules: RequirementRules) -> str:
    """Return the key of an environment's content; empty for one without packages, which every node has at once."""
    requirements = sorted({*read_requirements(run.folder, rules), *check_requirements(run.requirements, rules)})
    return environment_key(requirements, run.config.requires_python or "") if requirements else ""
