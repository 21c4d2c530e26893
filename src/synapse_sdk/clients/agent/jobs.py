"""Jobs on an agent: list, follow and stop them, and wait for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any

from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._session import transfer

if TYPE_CHECKING:
    import os
    from datetime import datetime
    from pathlib import Path

    from synapse_agent_api.typed_dicts import Job, JobFile, JobStatistics
    from synapse_sdk.clients.agent._session.session import AsyncSession, Session
    from synapse_sdk.clients.agent._session.transfer import OnProgress
    from synapse_sdk.clients.agent.events import JobLogEvent


class JobClientMixin:
    """The job methods of an agent's client. Every run is a job, under the caller's `job_id` or a generated one.

    Besides what a method names, each raises `NotFoundError` for a job that the agent does not have, another
    `synapse_sdk.exceptions.ClientError`, and `TypeError` or `ValueError` for invalid arguments.
    """

    _session: Session

    def list_jobs(
        self,
        *,
        status: str | None = None,
        limit: int | None = None,
        before: str | None = None,
        idempotency_key: str | None = None,
        release: str | None = None,
        action: str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        job_id_prefix: str | None = None,
    ) -> list[Job]:
        """List jobs, the newest first.

        Args:
            status: Only jobs in this state: `PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED` or `STOPPED`.
            limit: Maximum number of jobs; the agent's own default is 100.
            before: A job ID, to list only older jobs. Pass the last one of a call to get the next part.
            idempotency_key: Only the job of the request with this key. Errors contain it: it finds the job of a
                run whose answer was lost.
            release: Only runs of this release, `code@version`.
            action: Only runs of actions with this name.
            created_after: Only jobs created at this time or later: a `datetime` with a time zone, or RFC 3339.
            created_before: Only jobs created before this time.
            job_id_prefix: Only jobs whose ID begins with this.
        """
        jobs: list[Job] = self._session.send(
            calls.list_jobs(
                status=status,
                limit=limit,
                before=before,
                idempotency_key=idempotency_key,
                release=release,
                action=action,
                created_after=created_after,
                created_before=created_before,
                job_id_prefix=job_id_prefix,
            )
        )
        return jobs

    def get_job(self, job_id: str) -> Job:
        """Get a job's record, with its result or its error once it is over."""
        job: Job = self._session.send(calls.get_job(job_id))
        return job

    def get_job_statistics(self, *, hours: float = 1, buckets: int = 60) -> JobStatistics:
        """Count the jobs of the last hours per interval: how many, how many failed, how long they took.

        Args:
            hours: The time span up to now; at most 720.
            buckets: The number of intervals; at most 200.
        """
        statistics: JobStatistics = self._session.send(calls.get_job_statistics(hours, buckets))
        return statistics

    def get_job_logs(self, job_id: str, *, tail: int | None = None, since: datetime | str | None = None) -> str:
        """Get a job's output so far.

        Args:
            job_id: The job.
            tail: Only this many last lines.
            since: Only the output since this time: a `datetime` with a time zone, or RFC 3339.
        """
        log: str = self._session.send(calls.get_job_logs(job_id, tail, since))
        return log

    def list_job_files(self, job_id: str) -> list[JobFile]:
        """List a job's output files; for a running job, the current ones."""
        files: list[JobFile] = self._session.send(calls.list_job_files(job_id))
        return files

    def download_job_file(
        self,
        job_id: str,
        name: str,
        to: str | os.PathLike[str] = ".",
        *,
        on_progress: OnProgress | None = None,
        deadline: float | None = None,
    ) -> Path:
        """Download one file of a finished job, and return its local path.

        Args:
            job_id: The job.
            name: The file's `name`, as in `list_job_files`.
            to: The path to write it to, or a folder.
            on_progress: Called with the received and the total bytes.
            deadline: Seconds for the whole download.
        """
        limit = self._session.limit(f"downloading {name!r} of job {job_id!r}", deadline)
        return self._session.drive(transfer.job_file(job_id, name, to, on_progress, limit))

    def download_job_files(
        self,
        job_id: str,
        to: str | os.PathLike[str] = ".",
        *,
        on_progress: OnProgress | None = None,
        deadline: float | None = None,
    ) -> list[Path]:
        """Download all files of a job into a folder, and return their local paths; see `download_job_file`."""
        limit = self._session.limit(f"downloading the files of job {job_id!r}", deadline)
        return self._session.drive(transfer.job_files(job_id, to, on_progress, limit))

    def delete_job(self, job_id: str) -> None:
        """Delete a finished job, with its result, its log and its other files.

        Raises:
            ConflictError: It is waiting or running; stop it first.
        """
        self._session.send(calls.delete_job(job_id))

    def stop_job(self, job_id: str) -> Job:
        """Stop a job and its processes, and return its record; a finished one stays as it is."""
        job: Job = self._session.send(calls.stop_job(job_id))
        return job

    def tail_job_logs(self, job_id: str, *, deadline: float | None = None) -> Generator[JobLogEvent, None, None]:
        """Yield a job's output and events, from its beginning until it is over.

        After a broken connection it resumes at the same place: each line is yielded exactly once. It waits up
        to a minute for an unreachable agent, such as during a restart.

        Args:
            job_id: The job.
            deadline: Seconds to follow it; then `ClientTimeoutError` is raised when something next arrives, even if
                only a keep-alive (every 15 s from the embedded agent). No limit by default.

        Yields:
            `{"type": "log", "message": line}`, `{"type": "progress", "current", "total"}`, `{"type": "event",
            "event", "data"}`, `{"type": "output", "index", "value"}`, `{"type": "error", "error": detail}`, and finally
            `{"type": "complete", "status"}`. To stop earlier, call `close()`, or use `contextlib.closing`.
        """
        return self._session.iterate(self._session.following(job_id, deadline))

    def wait_for_job(self, job_id: str, *, deadline: float | None = None) -> Any:
        """Wait for the end of a job; return its result, or raise the error that the run would have raised.

        It waits up to a minute for an unreachable agent.

        Args:
            job_id: The job.
            deadline: Seconds to wait, after which `ClientTimeoutError` is raised; the job continues. No limit by
                default.

        Raises:
            ActionFailedError: The action raised; the error has its traceback.
            ServerError: It failed in another way, stated by `error_type`, such as `action_stopped`.
        """
        return self._session.drive(self._session.waiting(job_id, deadline))


class AsyncJobClientMixin:
    """The asynchronous twin of `JobClientMixin`, which describes the methods."""

    _session: AsyncSession

    async def list_jobs(
        self,
        *,
        status: str | None = None,
        limit: int | None = None,
        before: str | None = None,
        idempotency_key: str | None = None,
        release: str | None = None,
        action: str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        job_id_prefix: str | None = None,
    ) -> list[Job]:
        """List jobs, the newest first."""
        jobs: list[Job] = await self._session.send(
            calls.list_jobs(
                status=status,
                limit=limit,
                before=before,
                idempotency_key=idempotency_key,
                release=release,
                action=action,
                created_after=created_after,
                created_before=created_before,
                job_id_prefix=job_id_prefix,
            )
        )
        return jobs

    async def get_job(self, job_id: str) -> Job:
        """Get a job's record, with its result or its error once it is over."""
        job: Job = await self._session.send(calls.get_job(job_id))
        return job

    async def get_job_statistics(self, *, hours: float = 1, buckets: int = 60) -> JobStatistics:
        """Count the jobs of the last hours per interval: how many, how many failed, how long they took."""
        statistics: JobStatistics = await self._session.send(calls.get_job_statistics(hours, buckets))
        return statistics

    async def get_job_logs(self, job_id: str, *, tail: int | None = None, since: datetime | str | None = None) -> str:
        """Get a job's output so far."""
        log: str = await self._session.send(calls.get_job_logs(job_id, tail, since))
        return log

    async def list_job_files(self, job_id: str) -> list[JobFile]:
        """List a job's output files; for a running job, the current ones."""
        files: list[JobFile] = await self._session.send(calls.list_job_files(job_id))
        return files

    async def download_job_file(
        self,
        job_id: str,
        name: str,
        to: str | os.PathLike[str] = ".",
        *,
        on_progress: OnProgress | None = None,
        deadline: float | None = None,
    ) -> Path:
        """Download one file of a finished job, and return its local path."""
        limit = self._session.limit(f"downloading {name!r} of job {job_id!r}", deadline)
        return await self._session.drive(transfer.job_file(job_id, name, to, on_progress, limit))

    async def download_job_files(
        self,
        job_id: str,
        to: str | os.PathLike[str] = ".",
        *,
        on_progress: OnProgress | None = None,
        deadline: float | None = None,
    ) -> list[Path]:
        """Download all files of a job into a folder, and return their local paths; see `download_job_file`."""
        limit = self._session.limit(f"downloading the files of job {job_id!r}", deadline)
        return await self._session.drive(transfer.job_files(job_id, to, on_progress, limit))

    async def delete_job(self, job_id: str) -> None:
        """Delete a finished job, with its result, its log and its other files."""
        await self._session.send(calls.delete_job(job_id))

    async def stop_job(self, job_id: str) -> Job:
        """Stop a job and its processes, and return its record; a finished one stays as it is."""
        job: Job = await self._session.send(calls.stop_job(job_id))
        return job

    def tail_job_logs(self, job_id: str, *, deadline: float | None = None) -> AsyncGenerator[JobLogEvent, None]:
        """Yield a job's output and events, from its beginning until it is over."""
        return self._session.iterate(self._session.following(job_id, deadline))

    async def wait_for_job(self, job_id: str, *, deadline: float | None = None) -> Any:
        """Wait for the end of a job; return its result, or raise the error that the run would have raised."""
        return await self._session.drive(self._session.waiting(job_id, deadline))
