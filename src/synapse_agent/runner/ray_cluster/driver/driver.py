"""The driver's process: joins the cluster for the agent that started it, and ends with it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
from collections.abc import Awaitable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from synapse_agent.plugins.requirements import RequirementRules
from synapse_agent.plugins.resources import Resources
from synapse_agent.runner.ray_cluster import messages
from synapse_agent.runner.ray_cluster.driver.node_pool import ACTOR_SECONDS, Nodes
from synapse_agent.runner.ray_cluster.driver.placement import NodeState, amounts
from synapse_agent.runner.ray_cluster.driver.ray_api import Cluster, RayReservation, namespace_of, release_all_but
from synapse_agent.runner.ray_cluster.driver.reservations import Reservations, ReservedResources
from synapse_agent.runner.ray_cluster.driver.runs import Runs
from synapse_agent.runner.ray_cluster.driver.served import ServedActions, ServedShare
from synapse_agent.runner.ray_cluster.driver.served_records import ask_each, served_records
from synapse_agent.runner.ray_cluster.driver.source_transfer import SourceTransfer
from synapse_agent.runner.ray_cluster.errors import ClusterSilent
from synapse_agent.runner.ray_cluster.messages import Begin, Item, packed
from synapse_agent.runner.ray_cluster.node.left_jobs import Claim
from synapse_agent.runner.ray_cluster.placed_jobs import PlacedJob, PlacedJobs
from synapse_agent.storage.scratch import Scratch

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0
_LEFTOVER_SECONDS = 60.0
_LEAVE_SECONDS = 2.0
_LOOK_SECONDS = 1.0
_ALL_READY_SECONDS = 5.0
"""How long the agent's start waits for all nodes to start their actors."""
_READY_SECONDS = 30.0
"""How long it waits for one of them."""
_STREAM_BYTES = 2**20


class ClusterBroker:
    """Makes the cluster reserve what leases need."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def reserve(self, wanted: Resources, node_ids: Sequence[str], *, limit: float) -> ReservedResources:
        """Reserve on one of these nodes, and find the reserved GPUs."""
        asked = amounts(wanted)
        reservation = await self._cluster.reserve(asked, node_ids, limit=limit)
        if "GPU" not in asked:
            return ReservedResources(reservation.node_id, reservation)
        try:
            env = await self._cluster.devices(reservation, gpus=asked["GPU"], limit=ACTOR_SECONDS)
        except BaseException:
            self._cluster.release(reservation)
            raise
        return ReservedResources(reservation.node_id, reservation, env)

    async def find(self, name: str, node_id: str) -> ReservedResources:
        """Return what an earlier driver has reserved for a job; its handle is None if that was released."""
        return ReservedResources(node_id, await self._cluster.find(name, node_id))

    def release(self, reserved: ReservedResources) -> None:
        """Return it to the cluster."""
        reservation: RayReservation = reserved.handle
        self._cluster.release(reservation)


class Driver:
    """Serves the agent's requests until the agent closes it or ends."""

    def __init__(self, begin: Begin, cluster: Cluster, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._leases = Reservations(ClusterBroker(cluster), nodes=self._states)
        self._served = ServedActions(self._leases.give_back)
        placed = PlacedJobs(begin.settings.data_dir)
        self._nodes = Nodes(
            cluster,
            begin.settings,
            claim=partial(_claim, begin, placed),
            warn=self.warn,
            on_joined=self._leases.reconsider,
            on_lost=self._drop,
        )
        self._scratch = Scratch(begin.settings.data_dir / "sending")
        self._shipping = SourceTransfer(self._scratch)
        self._runs = Runs(
            nodes=self._nodes,
            leases=self._leases,
            shipping=self._shipping,
            say=self._say,
            rules=RequirementRules(urls=begin.settings.allow_requirement_urls),
            served=self._served,
            wait=begin.settings.ray_wait,
            placed=placed if begin.settings.orphan_limit is not None else None,
        )
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Prepare the nodes, report that, and serve until the end."""
        await self._nodes.look()
        await self._nodes.settled(limit=_ALL_READY_SECONDS)
        if not self._nodes.states():
            await self._nodes.settled(limit=_READY_SECONDS)
        if not self._nodes.states():
            await self._tell(messages.Refused(f"it has no node that can run actions: {self._nodes.why_none()}"))
            return
        await self._tell(messages.Ready())
        tasks = [asyncio.ensure_future(self._listen(reader)), asyncio.ensure_future(self._watch())]
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            if (error := task.exception()) is not None:
                logger.error("The driver failed: %r", error, exc_info=error)
        self._nodes.kill()  # whatever the reason of the end, nothing may keep running unseen
        self._scratch.close()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Handle the agent's messages until it sends `Close` or ends."""
        while (message := await messages.receive(reader)) is not None:
            if isinstance(message, messages.Close):
                await self._runs.stop_all(limit=CLOSE_SECONDS, leaves_jobs=message.leaves_jobs)
                await self._nodes.close(limit=CLOSE_SECONDS, leaves_jobs=message.leaves_jobs)
                return
            self._obey(message)
        self._runs.leave()
        await self._nodes.close(limit=CLOSE_SECONDS, leaves_jobs=True)

    async def _watch(self) -> None:
        """Follow the cluster's nodes until the cluster is lost; while runs are active, Ray decides about that."""
        while self._nodes.silence is None or self._runs.are_on_nodes:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._nodes.look()
            for share in self._served.end_idle():
                self._keep(self._end_share(share))
            self._leases.advance()  # others on the cluster may have released resources
        logger.error("The cluster's head is gone: %s", self._nodes.silence)

    def _obey(self, message: Any) -> None:
        if isinstance(message, messages.Start):
            self._runs.start(message.number, message.run, prepares=message.prepares, printed=message.printed)
        elif isinstance(message, messages.TakeUp):
            self._runs.take_up(message.number, message.job, message.offset)
        elif isinstance(message, messages.Collect):
            self._keep(self._collect(message.job))
        elif isinstance(message, messages.Stop):
            self._keep(self._runs.stop(message.number))
        elif isinstance(message, messages.Forget):
            self._keep(self._answer(message.number, self._forget(message.folder)))
        elif isinstance(message, messages.LookAtNodes):
            self._keep(self._report(message.number))
        elif isinstance(message, messages.ListServed):
            self._keep(self._answer(message.number, served_records(self._nodes.ready(), self._served)))
        elif isinstance(message, messages.EndServed):
            self._keep(self._answer(message.number, self._end_served(message.name)))

    async def _answer(self, number: int, question: Awaitable[Any]) -> None:
        await self._tell(messages.Reply(number, await question))

    async def _end_served(self, name: str) -> bool:
        is_known = self._served.end(name)
        await ask_each(self._nodes.ready(), "delete_serve_application", name)
        return is_known

    async def _collect(self, job: PlacedJob) -> None:
        """Make a job's node remove the job's files."""
        node = await self._nodes.back(job.node_id)
        if node is not None:
            await ask_each([node], "collect", job)

    async def _end_share(self, share: ServedShare) -> None:
        await ask_each([share.node], "end_share", share.name)

    def _drop(self, node_id: str) -> None:
        self._served.drop(node_id)
        self._leases.drop(node_id)

    async def _report(self, number: int) -> None:
        try:
            await self._tell(messages.NodesSeen(number, tuple(await self._nodes.reports())))
        except ClusterSilent as silent:
            await self._tell(messages.NodesSeen(number, silence=str(silent)))

    async def _forget(self, folder: Path) -> None:
        self._served.end_folder(folder)
        digest = self._shipping.forget(folder)
        if digest is not None:
            await self._nodes.forget(digest)

    async def _say(self, number: int, items: tuple[Item, ...]) -> None:
        await self._tell(messages.Said(number, items))

    async def _tell(self, message: object) -> None:
        self._writer.write(packed(message))
        with suppress(ConnectionError):  # the agent is gone, which the reader notices
            await self._writer.drain()

    def warn(self, text: str) -> None:
        """Show the agent's operator a warning."""
        self._keep(self._tell(messages.Warned(text)))

    def _states(self) -> list[NodeState]:
        return self._nodes.states()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _claim(begin: Begin, placed: PlacedJobs, node_id: str) -> Claim | None:
    """Return the agent's jobs on a node; None if none outlives the agent."""
    limit = begin.settings.orphan_limit
    if limit is None:
        return None
    return Claim(begin.identity, node_id, frozenset(job.row for job in placed.all() if job.node_id == node_id), limit)


def main(descriptor: int) -> None:
    """Serve the agent at the other end of a socket."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    connection = socket.socket(fileno=descriptor)
    begin = messages.receive_now(connection)
    if begin is None:
        return
    try:
        outlives = begin.settings.orphan_limit is not None
        cluster = Cluster(begin.settings.ray_address, namespace=namespace_of(begin.identity), outlives=outlives)
    except Exception as error:  # noqa: BLE001 - Ray raises errors of many types, which the agent reports
        connection.sendall(packed(messages.Refused(" ".join(str(error).split()))))
        return
    asyncio.run(_serve(begin, cluster, connection))


async def _serve(begin: Begin, cluster: Cluster, connection: socket.socket) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_STREAM_BYTES)
    left = await cluster.ask(cluster.end_leftovers, limit=_LEFTOVER_SECONDS)
    await _release_unused(begin, cluster, limit=_LEFTOVER_SECONDS)
    driver = Driver(begin, cluster, writer)
    if left:
        driver.warn(f"Actors of an earlier process of this agent could not be ended: {', '.join(left)}")
    await driver.serve(reader)
    with suppress(ClusterSilent):
        await _release_unused(begin, cluster, limit=CLOSE_SECONDS)
    leaving = threading.Thread(target=cluster.leave, daemon=True)
    leaving.start()
    await asyncio.to_thread(leaving.join, _LEAVE_SECONDS)
    logging.shutdown()
    os._exit(0)  # threads that wait for a silent cluster would wait forever


async def _release_unused(begin: Begin, cluster: Cluster, *, limit: float) -> None:
    """Release all that this agent has reserved on the cluster, except for jobs on nodes."""
    kept = [job.reservation for job in PlacedJobs(begin.settings.data_dir).all() if job.reservation]
    await cluster.ask(release_all_but, kept, begin.identity, limit=limit)


if __name__ == "__main__":
    main(int(sys.argv[1]))
