"""The actor that Ray runs on each node, which drives the local runner there."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from synapse_agent.files.outputs import Outputs
from synapse_agent.files.store import FilePart, FileStore
from synapse_agent.problems import Problem, renamed
from synapse_agent.runner.base import Run
from synapse_agent.runner.local import LocalRunner, local_runner
from synapse_agent.runner.processes.outcomes import action_stopped
from synapse_agent.runner.ray_cluster.messages import Failed, Item, SourceMissing
from synapse_agent.runner.ray_cluster.node.batching_listener import BatchingListener
from synapse_agent.runner.ray_cluster.node.source_store import Draft, SourceStore
from synapse_agent.runner.ray_cluster.source_archive import PIECE_BYTES, BadArchive
from synapse_agent.runner.resources.gpus import Gpu, find_gpus
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
    prepares: bool = False
    """Only make its environment."""


class _NodeRun:
    """A run that is being sent, or is running."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.is_with_runner = False


class Node:
    """Executes runs in its node's own environments; all its processes end with its actor's process."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        alone_seconds: float = ALONE_SECONDS,
        on_alone: Callable[[], None] = lambda: os._exit(1),
    ) -> None:
        """Keep sources and environments in a folder, by default that of the node's environment variable.

        `on_alone` is called after a long time without greetings: the cluster may consider this node dead, such as
        when it was frozen or disconnected, and its runs lost. Ray itself does not stop these.
        """
        self._folder = folder or node_folder()
        self._alone_seconds = alone_seconds
        self._on_alone = on_alone
        self._alone_for = 0.0
        self._sweep_at = time.monotonic() + _SWEEP_SECONDS
        self._live: dict[str, _NodeRun] = {}
        self._drafts: dict[str, Draft] = {}
        self._left: dict[str, Outputs] = {}
        """Output files of runs until the driver has them, by job."""

    async def version(self) -> str:
        """Return the node's version of this package; called before anything that depends on it."""
        return __version__

    async def begin(self, settings: Settings) -> Stock:
        """Prepare to run actions."""
        self._watching = asyncio.ensure_future(self._watch())
        pythons = tuple(path for path in settings.pythons if path.exists())
        self._runner: LocalRunner = local_runner(replace(settings, data_dir=self._folder, pythons=pythons))
        self._store = SourceStore(self._folder / "sources")
        self._scratch = Scratch(self._folder / "left")
        self._output_limit = settings.max_jobs_bytes
        self._files = FileStore(
            self._scratch.name(),
            max_bytes=settings.max_files_bytes,
            keep=timedelta(days=settings.keep_files_days),
            temporary=lambda _: self._scratch.name(),
        )
        self._made = self._folder / "made"
        self._made.mkdir(exist_ok=True)
        return Stock(tuple(self._store.digests()), tuple(path.name for path in self._made.iterdir()))

    async def gpus(self) -> tuple[Gpu, ...]:
        """Query the node's GPUs; Ray hides them from this process, which runs nothing on them itself."""
        return await asyncio.to_thread(find_gpus, None, {})

    async def hear(self) -> None:
        """Record that the driver exists."""
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
        # Zygotes see the folder that was at this place before, if somebody has removed it.
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
        """Run an action and yield its messages in batches."""
        job_id = assignment.run.job_id
        left = self._left[job_id] = Outputs(self._scratch.name(), limit=self._output_limit)
        feed, live = BatchingListener(left), _NodeRun()
        self._live[job_id] = live
        live.task = asyncio.ensure_future(self._run(assignment, live, feed))
        # A run that is stopped just when it arrives can't report that itself.
        live.task.add_done_callback(lambda _: feed.end(Failed.of(action_stopped(job_id))))
        try:
            async for batch in feed.batches():
                yield batch
        finally:
            live.task.cancel()
            if self._live.get(job_id) is live:
                del self._live[job_id]
            if not feed.has_left:
                self._left.pop(job_id, None)

    async def read_left(self, job_id: str, name: str, start: int) -> bytes:
        """Return the next piece of a run's output file."""
        return await asyncio.to_thread(self._left[job_id].read, name, start, PIECE_BYTES)

    async def drop_left(self, job_id: str) -> None:
        """Remove a run's output files."""
        if (left := self._left.pop(job_id, None)) is not None:
            await asyncio.to_thread(left.remove)

    async def stop(self, job_id: str) -> None:
        """End a run; it may be unknown."""
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
        logger.error("No message from the driver for %g s: ending all that it started", self._alone_for)
        self._on_alone()

    async def _run(self, assignment: Assignment, live: _NodeRun, feed: BatchingListener) -> None:
        run = assignment.run
        try:
            with self._store.use(assignment.digest) as source:
                if source is None:
                    feed.end(SourceMissing())
                    return
                feed.succeed(await self._run_from(source, assignment, live, feed))
        except Problem as problem:
            feed.end(Failed.of(problem))
        except asyncio.CancelledError:
            feed.end(Failed.of(action_stopped(run.job_id)))
        except Exception as error:
            logger.exception("Job %s failed inside its node", run.job_id)
            feed.end(Failed.of(disk_full() if is_disk_full(error) else _internal_error(run.job_id)))

    async def _run_from(self, source: Path, assignment: Assignment, live: _NodeRun, feed: BatchingListener) -> bytes:
        if assignment.prepares:
            with _named_as_known(source, assignment.run.folder):
                await self._runner.make_environment(replace(assignment.run, folder=source), feed.output)
            self._note_environment(assignment.environment)
            return b"null"
        if assignment.run.release is not None:
            return await self._run_in(source, assignment, live, feed)
        copying = asyncio.ensure_future(asyncio.to_thread(self._store.copy, source))
        try:
            return await self._run_in(await asyncio.shield(copying), assignment, live, feed)
        finally:
            await asyncio.to_thread(remove_tree, await copying)

    async def _run_in(self, folder: Path, assignment: Assignment, live: _NodeRun, feed: BatchingListener) -> bytes:
        run = assignment.run
        config = replace(run.config, env=assignment.env)
        files = {reference: self._files.path(reference.id) for reference in run.files}
        live.is_with_runner = True
        self._files.hold(files)
        try:
            with _named_as_known(folder, run.folder):
                return await self._runner.run(replace(run, folder=folder, config=config, files=files), feed)
        finally:
            self._files.release(files)
            if feed.has_started:
                self._note_environment(assignment.environment)

    def _note_environment(self, name: str) -> None:
        """Remember that runs of this kind are quick here; a full disk or a folder that is gone costs no run."""
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
