"""The actor that Ray runs on each node, which drives the local runner there."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from synapse_agent.files.outputs import Outputs
from synapse_agent.files.references import FileReference
from synapse_agent.files.store import FilePart, FileStore
from synapse_agent.problems import Problem, renamed
from synapse_agent.runner.base import Run
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.local_settings import local_runner
from synapse_agent.runner.processes.kept_execution import RunLeft
from synapse_agent.runner.processes.kept_run import LeftRun
from synapse_agent.runner.processes.outcomes import action_stopped
from synapse_agent.runner.ray_cluster.messages import Failed, Item, Offset, SourceMissing
from synapse_agent.runner.ray_cluster.node.batching_listener import BatchingListener
from synapse_agent.runner.ray_cluster.node.left_jobs import Claim, LeftJobs
from synapse_agent.runner.ray_cluster.node.source_store import Draft, SourceStore
from synapse_agent.runner.ray_cluster.placed_jobs import PlacedJob
from synapse_agent.runner.ray_cluster.source_archive import PIECE_BYTES, BadArchive
from synapse_agent.runner.resources.gpus import Gpu, find_gpus
from synapse_agent.runner.warming import SilentListener
from synapse_agent.settings import Settings, default_data_dir
from synapse_agent.storage.disk import disk_full, is_disk_full
from synapse_agent.storage.scratch import Scratch
from synapse_agent.storage.trees import remove_tree
from synapse_sdk._version import __version__

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "SYNAPSE_NODE_DIR"
"""Variable in the environment of a node's `ray start`: the folder for the node's sources and environments."""

ALONE_SECONDS = 30.0
"""How long a node continues without a greeting from its driver."""
_TICK_SECONDS = 1.0
_SWEEP_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Stock:
    """What a node has from earlier runs."""

    digests: tuple[str, ...]
    environments: tuple[str, ...]
    """Keys of requirements that have environments."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A run for a node; its folder is the agent's, and only a name here."""

    run: Run
    digest: str
    """The name of the folder's source."""
    env: Mapping[str, str]
    """The run's environment variables: the plugin's, and those for its resources of the node."""
    environment: str
    """Key of its requirements."""
    reservation: str | None = None
    """The name of what the cluster has reserved for it."""
    outlives: bool = False
    """Whether it is a job that continues without a driver."""
    prepares: bool = False
    """Only make its environment."""


class _NodeRun:
    """A run that is being sent, or is running."""

    def __init__(self, row: int | None) -> None:
        self.row = row
        """The job's number, if it continues without a driver."""
        self.task: asyncio.Task[None] | None = None
        self.is_with_runner = False


class Node:
    """Executes runs in its node's own environments; its processes, except those of jobs, end with the actor's process.

    Jobs have keepers of their own, and end with the node: another actor on it can take them over.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        alone_seconds: float = ALONE_SECONDS,
        on_alone: Callable[[], None] = lambda: os._exit(1),
        release: Callable[[Collection[str], str, str], None] = lambda *_: None,
    ) -> None:
        """Keep sources and environments in a folder, by default that of the node's environment variable.

        `on_alone` is called after a long time without greetings: the cluster may consider this node dead, such as
        when it was frozen or disconnected, and its runs lost. Ray itself does not stop these. If jobs continue without
        a driver, `on_alone` is called after the last of them. Meanwhile `release` returns to the cluster what an agent
        has reserved on a node, except the given reservations.
        """
        self._release = release
        self._folder = folder or node_folder()
        self._alone_seconds = alone_seconds
        self._on_alone = on_alone
        self._alone_for = 0.0
        self._has_left = False
        self._sweep_at = time.monotonic() + _SWEEP_SECONDS
        self._live: dict[str, _NodeRun] = {}
        self._drafts: dict[str, Draft] = {}
        self._feeds: dict[str, BatchingListener] = {}
        """The messages of runs by job ID, with their output files until the driver has fetched these."""
        self._jobs: LeftJobs | None = None
        self._left: dict[int, LeftRun] = {}
        """Jobs that an earlier actor has left, until this driver follows them."""
        self._ending: list[asyncio.Future[None]] = []

    async def version(self) -> str:
        """Return the node's version of this package; called before anything that depends on it."""
        return __version__

    async def begin(self, settings: Settings, claim: Claim | None = None) -> Stock:
        """Prepare to run actions, and find the jobs of the claim, if jobs outlive their driver."""
        self._watching = asyncio.ensure_future(self._watch())
        self._claim = claim
        pythons = tuple(path for path in settings.pythons if path.exists())
        self._jobs = LeftJobs(self._folder, claim) if claim else None
        lasting = self._jobs.keepers() if self._jobs else None
        settings = replace(settings, data_dir=self._folder, pythons=pythons)
        self._runner: LocalRunner = local_runner(settings, lasting_runs=lasting)
        if self._jobs and claim:
            await self._find_left(self._jobs, claim)
        self._store = SourceStore(self._folder / "sources")
        self._scratch = Scratch(self._folder / "left")
        self._output_limit = settings.max_jobs_bytes
        self._files = FileStore(
            self._jobs.folder / "files" if self._jobs else self._scratch.name(),
            max_bytes=settings.max_files_bytes,
            keep=timedelta(days=settings.keep_files_days),
            temporary=lambda _: self._scratch.name(),
        )
        for kept in self._left.values():
            self._files.hold([FileReference(*each) for each in kept.files])
        self._made = self._folder / "made"
        self._made.mkdir(exist_ok=True)
        return Stock(tuple(self._store.digests()), tuple(path.name for path in self._made.iterdir()))

    async def gpus(self) -> tuple[Gpu, ...]:
        """Query the node's GPUs; Ray hides them from this process, which runs nothing on them itself."""
        return await asyncio.to_thread(find_gpus, None, {})

    async def hear(self) -> None:
        """Record that the driver exists; raise `RuntimeError` if it comes too late."""
        if self._has_left:
            raise RuntimeError(f"it had no message from its driver for {self._alone_seconds:g} s")
        self._alone_for = 0.0

    async def receive(self, digest: str, piece: bytes) -> None:
        """Receive the next piece of a source."""
        if digest not in self._drafts:
            self._drafts[digest] = self._store.draft()
        await asyncio.to_thread(self._drafts[digest].add, piece)

    async def complete(self, digest: str) -> str | None:
        """Move a complete source to its place; return the reason if that fails."""
        try:
            emptied = await asyncio.to_thread(self._drafts.pop(digest).complete, digest)
        except (BadArchive, OSError) as error:
            return str(error)
        # If the folder was removed and made again, zygotes still see the old one.
        for folder in (*emptied, self._store.path(digest)):
            await self._runner.forget(folder)
        return None

    async def abandon(self, digest: str) -> None:
        """Discard an incomplete source."""
        draft = self._drafts.pop(digest, None)
        if draft is not None:
            await asyncio.to_thread(draft.abandon)

    async def missing_from(self, file_id: str) -> int | None:
        """Return the size of the node's part of a caller's file; None if it has all of it."""
        try:
            stored = self._files.find(file_id)
        except Problem:
            return 0
        return None if self._files.path(file_id).exists() else stored.received

    async def receive_file(self, file_id: str, size: int, offset: int, piece: bytes) -> None:
        """Receive a piece of such a file."""

        async def body() -> AsyncIterator[bytes]:
            yield piece

        await self._files.receive(file_id, FilePart(size, offset), body())

    async def run(self, assignment: Assignment) -> AsyncIterator[tuple[Item, ...]]:
        """Run an action and yield its messages in batches; the run ends if the caller stops receiving them."""
        job_id = assignment.run.job_id
        feed = BatchingListener(lambda _: Outputs(self._scratch.name(), limit=self._output_limit))
        live = self._begin(job_id, None, feed, lambda live: self._run(assignment, live, feed))
        try:
            async for batch in feed.batches():
                yield batch
        finally:
            if live.task is not None:
                live.task.cancel()
            if self._live.get(job_id) is live:
                del self._live[job_id]
            if feed.left is None:
                self._feeds.pop(job_id, None)

    async def start(self, assignment: Assignment) -> None:
        """Begin a job, which continues without a driver; `follow` yields its messages."""
        run, feed = assignment.run, BatchingListener(self._beside)
        self._begin(run.job_id, run.accepted, feed, lambda live: self._run(assignment, live, feed))

    async def follow(self, job: PlacedJob, offset: Offset) -> AsyncIterator[tuple[Item, ...]]:
        """Yield the messages of a job after those that were received, in batches; each job is followed only once."""
        feed = self._feeds[job.job_id] if self._has(job) else self._taken_up(job, offset)
        async for batch in feed.batches():
            yield batch

    async def collect(self, job: PlacedJob) -> None:
        """Remove the files of a job whose end the agent has recorded."""
        if (kept := self._left.pop(job.row, None)) is not None:  # it was stopped before this actor had it
            await self._end(kept)
        self._runner.collect(job.row)
        if self._has(job):
            del self._feeds[job.job_id], self._live[job.job_id]
        if self._jobs:
            await asyncio.to_thread(self._jobs.forget, job.row)

    async def leave(self) -> bool:
        """End everything except jobs; return whether any are running: this actor then stays for them."""
        if not self._has_left:
            self._watching.cancel()
            await self._leave()
        return self._jobs is not None and bool(self._jobs.running())

    async def read_left(self, job_id: str, name: str, start: int) -> bytes:
        """Return the next piece of a run's output file."""
        left = self._feeds[job_id].left
        assert left is not None
        return await asyncio.to_thread(left.read, name, start, PIECE_BYTES)

    async def drop_left(self, job_id: str) -> None:
        """Remove a run's output files."""
        if (feed := self._feeds.pop(job_id, None)) is not None and feed.left is not None:
            await asyncio.to_thread(feed.left.remove)

    async def stop(self, job_id: str) -> None:
        """End a run; do nothing if it is unknown."""
        live = self._live.get(job_id)
        if live is None or live.task is None:
            return
        if live.is_with_runner:
            await self._runner.stop(job_id)
        else:
            live.task.cancel()

    async def forget(self, digest: str) -> None:
        """Remove a source unless it is in use, and what was kept for its runs."""
        await self._runner.forget(self._store.path(digest))
        await asyncio.to_thread(self._store.discard, digest)

    async def serve_applications(self) -> list[Mapping[str, Any]]:
        """Return the records of the workers here, one for each share."""
        return await self._runner.serve_applications()

    async def delete_serve_application(self, name: str) -> None:
        """End an action's workers here, if there are any."""
        with suppress(Problem):
            await self._runner.delete_serve_application(name)

    async def end_share(self, share: str) -> None:
        """End the worker of a share."""
        await self._runner.end_share(share)

    async def close(self) -> None:
        """End every run and every helper process."""
        self._watching.cancel()
        await self._runner.close()
        await asyncio.to_thread(self._store.close)
        await asyncio.to_thread(self._scratch.close)

    async def _watch(self) -> None:
        """Count the seconds until the driver has been silent too long, without those when this process was frozen."""
        while self._alone_for < self._alone_seconds:
            await asyncio.sleep(_TICK_SECONDS)
            self._alone_for += _TICK_SECONDS
            if time.monotonic() > self._sweep_at:
                self._sweep_at = time.monotonic() + _SWEEP_SECONDS
                await asyncio.to_thread(self._files.sweep)
        logger.error("No message from the driver for %g s: ending all but jobs", self._alone_for)
        await self._leave()

    async def _leave(self) -> None:
        self._has_left = True
        self._runner.leave()
        await asyncio.sleep(0)  # the tasks that follow jobs must end before the runner does
        await self._runner.close()
        self._staying = asyncio.ensure_future(self._stay())

    async def _stay(self) -> None:
        """Keep the reservations of jobs until these have ended, then end this actor."""
        while self._jobs and self._claim and (running := await asyncio.to_thread(self._jobs.running)):
            reserved = {kept.reservation for kept in running if kept.reservation}
            await asyncio.to_thread(self._release, reserved, self._claim.identity, self._claim.node_id)
            await asyncio.sleep(_TICK_SECONDS)
        if self._claim:
            await asyncio.to_thread(self._release, (), self._claim.identity, self._claim.node_id)
        self._on_alone()

    async def _find_left(self, jobs: LeftJobs, claim: Claim) -> None:
        for kept in await self._runner.find_left(jobs.lock):
            if kept.row in claim.rows:
                self._left[kept.row] = kept
            else:  # its end is recorded, or it was stopped while the cluster was unreachable
                self._ending.append(asyncio.ensure_future(self._end(kept)))

    async def _end(self, kept: LeftRun) -> None:
        taken = asyncio.ensure_future(self._runner.take_up(kept, SilentListener()))
        await asyncio.sleep(0)
        await self._runner.stop(kept.job_id)
        with suppress(Problem, RunLeft):
            await taken
        self._runner.collect(kept.row)

    def _has(self, job: PlacedJob) -> bool:
        """Return whether this actor started or took over this job, rather than another one with its ID."""
        live = self._live.get(job.job_id)
        return live is not None and live.row == job.row

    def _begin(
        self,
        job_id: str,
        row: int | None,
        feed: BatchingListener,
        run: Callable[[_NodeRun], Coroutine[Any, Any, None]],
    ) -> _NodeRun:
        live = self._live[job_id] = _NodeRun(row)
        self._feeds[job_id] = feed
        live.task = asyncio.ensure_future(run(live))

        def ended(task: asyncio.Task[None]) -> None:
            if task.cancelled():  # before it began, so that it could not report that itself
                feed.end(Failed.of(action_stopped(job_id)))

        live.task.add_done_callback(ended)
        return live

    def _beside(self, folder: Path) -> Outputs:
        """Return the place of a job's output files, beside its other files."""
        return Outputs(folder.with_name("left"), limit=self._output_limit)

    def _taken_up(self, job: PlacedJob, offset: Offset) -> BatchingListener:
        feed, kept = BatchingListener(self._beside, after=offset), self._left.pop(job.row, None)
        if kept is None:
            feed.end(SourceMissing())
        else:
            going_on = partial(self._go_on, kept, job, feed)
            self._begin(job.job_id, job.row, feed, lambda live: self._concluded(job.job_id, going_on(live), feed))
        return feed

    async def _go_on(self, kept: LeftRun, job: PlacedJob, feed: BatchingListener, live: _NodeRun) -> None:
        live.is_with_runner = True
        files = [FileReference(*each) for each in kept.files]
        self._files.hold(files)
        try:
            with _named_as_known(Path(kept.folder), Path(job.folder)):
                feed.succeed(await self._runner.take_up(kept, feed))
        finally:
            self._files.release(files)

    async def _run(self, assignment: Assignment, live: _NodeRun, feed: BatchingListener) -> None:
        async def run() -> None:
            with self._store.use(assignment.digest) as source:
                if source is None:
                    feed.end(SourceMissing())
                else:
                    feed.succeed(await self._run_from(source, assignment, live, feed))

        await self._concluded(assignment.run.job_id, run(), feed)

    async def _concluded(self, job_id: str, run: Awaitable[None], feed: BatchingListener) -> None:
        try:
            await run
        except RunLeft:
            pass
        except Problem as problem:
            feed.end(Failed.of(problem))
        except asyncio.CancelledError:
            feed.end(Failed.of(action_stopped(job_id)))
        except Exception as error:
            logger.exception("Job %s failed inside its node", job_id)
            feed.end(Failed.of(disk_full() if is_disk_full(error) else _internal_error(job_id)))

    async def _run_from(self, source: Path, assignment: Assignment, live: _NodeRun, feed: BatchingListener) -> bytes:
        run = assignment.run
        if assignment.prepares:
            with _named_as_known(source, run.folder):
                await self._runner.make_environment(replace(run, folder=source), feed.output)
            self._note_environment(assignment.environment)
            return b"null"
        if run.release is not None:
            return await self._run_in(source, assignment, live, feed)
        kept = self._jobs if assignment.outlives else None
        copying = asyncio.ensure_future(
            asyncio.to_thread(lambda: self._store.copy(source, kept.source(run.accepted) if kept else None))
        )
        try:
            return await self._run_in(await asyncio.shield(copying), assignment, live, feed)
        finally:
            if kept is None:
                await asyncio.to_thread(remove_tree, await copying)

    async def _run_in(self, folder: Path, assignment: Assignment, live: _NodeRun, feed: BatchingListener) -> bytes:
        run = assignment.run
        config = replace(run.config, env=assignment.env)
        files = {reference: self._files.path(reference.id) for reference in run.files}
        live.is_with_runner = True
        self._files.hold(files)
        try:
            run = replace(run, folder=folder, config=config, files=files, reservation=assignment.reservation)
            with _named_as_known(folder, assignment.run.folder):
                return await self._runner.run(run, feed)
        finally:
            self._files.release(files)
            if feed.has_started:
                self._note_environment(assignment.environment)

    def _note_environment(self, name: str) -> None:
        """Record that this node has an environment; a full disk or a missing folder fails no run."""
        with suppress(OSError):
            self._made.mkdir(exist_ok=True)
            (self._made / name).touch()


def _internal_error(job_id: str) -> Problem:
    message = "The node failed while it ran this job; the log of its Ray actor has the reason."
    return Problem(500, "internal_error", message, job_id=job_id)


def node_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for a node's sources and environments."""
    return Path(environ.get(FOLDER_VARIABLE) or default_data_dir() / "node").absolute()


@contextmanager
def _named_as_known(folder: Path, known: Path) -> Iterator[None]:
    """Replace a node's file names in a problem by the agent's."""
    try:
        yield
    except Problem as problem:
        raise renamed(problem, str(folder), str(known)) from problem
