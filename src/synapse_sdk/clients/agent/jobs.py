"""Jobs on an agent: look at them, follow them, stop them, wait for them."""

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
    """The job methods of an agent's client. Every run is a job, under the caller's `job_id` or one of the agent's.

    Besides what a method names, each raises `NotFoundError` for a job that the agent does not have, another
    `synapse_sdk.exceptions.ClientError`, and `TypeError` or `ValueError` for arguments that can't be right.
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
            limit: The most jobs to return; the agent's own default is 100.
            before: A job ID: only older jobs. Pass the last one of a call to get the next part.
            idempotency_key: Only the job of the request that carried this key. Errors have it: it finds the job of a
                run whose answer was lost.
            release: Only runs of this release, `code@version`.
            action: Only runs of actions with this name.
            created_after: Only jobs made at this time or later: a `datetime` with a time zone, or RFC 3339.
            created_before: Only jobs made before this time.
            job_id_prefix: Only jobs whose ID begins like this.
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
        """Count the jobs of the last hours in buckets of time: how many, how many failed, how long they took.

        Args:
            hours: The span, which ends now; 720 at most.
            buckets: The number of buckets; 200 at most.
        """
        statistics: JobStatistics = self._session.send(calls.get_job_statistics(hours, buckets))
        return statistics

    def get_job_logs(self, job_id: str, *, tail: int | None = None, since: datetime | str | None = None) -> str:
        """Get what a job has printed so far.

        Args:
            job_id: The job.
            tail: Only so many lines, the last ones.
            since: Only what was printed at this time or later: a `datetime` with a time zone, or RFC 3339.
        """
        log: str = self._session.send(calls.get_job_logs(job_id, tail, since))
        return log

    def list_job_files(self, job_id: str) -> list[JobFile]:
        """List the files that a job has left in its folder of outputs, or, while it runs, has there now."""
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
        """Download one file of a job that is over, and return its path here.

        Args:
            job_id: The job.
            name: The file's `name`, as `list_job_files` has it.
            to: The path to write it to, or a folder.
            on_progress: Called with the bytes that have come, and how many there are.
            deadline: Seconds for all of it.
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
        """Download all files of a job into a folder, and return their paths here; see `download_job_file`."""
        limit = self._session.limit(f"downloading the files of job {job_id!r}", deadline)
        return self._session.drive(transfer.job_files(job_id, to, on_progress, limit))

    def delete_job(self, job_id: str) -> None:
        """Forget a job that is over, with its result, its log and its other files.

        Raises:
            ConflictError: It waits or runs; stop it first.
        """
        self._session.send(calls.delete_job(job_id))

    def stop_job(self, job_id: str) -> Job:
        """Stop a job and all it started, and return its record; one that is over stays as it is."""
        job: Job = self._session.send(calls.stop_job(job_id))
        return job

    def tail_job_logs(self, job_id: str, *, deadline: float | None = None) -> Generator[JobLogEvent, None, None]:
        """Yield what a job prints and reports, from its beginning until it is over.

        After a broken connection it resumes at the same place: no line comes twice and none is missing. It waits up
        to a minute for an agent that is out of reach, such as during a restart.

        Args:
            job_id: The job.
            deadline: Seconds to follow it, after which `ClientTimeoutError` is raised when something next comes, if
                only what keeps the connection alive (every 15 s from the embedded agent). By default there is no end.

        Yields:
            `{"type": "log", "message": line}`, `{"type": "progress", "current", "total"}`, `{"type": "event",
            "event", "data"}`, `{"type": "error", "error": detail}`, and in the end `{"type": "complete", "status"}`.
            To stop earlier, close the connection with `close()`, or `contextlib.closing`.
        """
        return self._session.iterate(self._session.following(job_id, deadline))

    def wait_for_job(self, job_id: str, *, deadline: float | None = None) -> Any:
        """Wait for the end of a job; return its result, or raise the error that the run would have raised.

        It waits up to a minute for an agent that is out of reach.

        Args:
            job_id: The job.
            deadline: Seconds to wait, after which `ClientTimeoutError` is raised; the job continues. No limit by
                default.

        Raises:
            ActionFailedError: The action raised; the error has its traceback.
            ServerError: It failed in another way, which `error_type` names, such as `action_stopped`.
        """
        return self._session.drive(self._session.waiting(job_id, deadline))


class AsyncJobClientMixin:
    """The asynchronous twin of `JobClientMixin`, which has the methods' descriptions."""

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
        """Count the jobs of the last hours in buckets of time: how many, how many failed, how long they took."""
        statistics: JobStatistics = await self._session.send(calls.get_job_statistics(hours, buckets))
        return statistics

    async def get_job_logs(self, job_id: str, *, tail: int | None = None, since: datetime | str | None = None) -> str:
        """Get what a job has printed so far."""
        log: str = await self._session.send(calls.get_job_logs(job_id, tail, since))
        return log

    async def list_job_files(self, job_id: str) -> list[JobFile]:
        """List the files that a job has left in its folder of outputs, or, while it runs, has there now."""
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
        """Download one file of a job that is over, and return its path here."""
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
        """Download all files of a job into a folder, and return their paths here; see `download_job_file`."""
        limit = self._session.limit(f"downloading the files of job {job_id!r}", deadline)
        return await self._session.drive(transfer.job_files(job_id, to, on_progress, limit))

    async def delete_job(self, job_id: str) -> None:
        """Forget a job that is over, with its result, its log and its other files."""
        await self._session.send(calls.delete_job(job_id))

    async def stop_job(self, job_id: str) -> Job:
        """Stop a job and all it started, and return its record; one that is over stays as it is."""
        job: Job = await self._session.send(calls.stop_job(job_id))
        return job

    def tail_job_logs(self, job_id: str, *, deadline: float | None = None) -> AsyncGenerator[JobLogEvent, None]:
        """Yield what a job prints and reports, from its beginning until it is over."""
        return self._session.iterate(self._session.following(job_id, deadline))

    async def wait_for_job(self, job_id: str, *, deadline: float | None = None) -> Any:
        """Wait for the end of a job; return its result, or raise the error that the run would have raised."""
        return await self._session.drive(self._session.waiting(job_id, deadline))
