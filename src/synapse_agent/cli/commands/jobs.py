"""`jobs list|get|logs|files|download|stop|delete|wait`: running and finished jobs."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from synapse_agent.cli.commands.run_files import shown_bytes
from synapse_agent.cli.commands.run_watcher import Watch, line_of
from synapse_agent.cli.commands.serve_options import default_of
from synapse_agent.cli.completion import complete_jobs
from synapse_agent.cli.failures import UsageFailure
from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.options import with_agent
from synapse_agent.cli.terminal.display import make_display

TIMES = "2026-11-30 or 2026-11-30T14:00, local time"
TIME_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"]


class JobState(StrEnum):
    """The states of a job, as in the contract."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


JobId = Annotated[
    str,
    typer.Argument(
        metavar="JOB_ID",
        help="The job's ID, or the beginning of it.",
        autocompletion=complete_jobs,
        show_default=False,
    ),
]


@with_agent
def list_jobs(
    invocation: Invocation,
    status: Annotated[
        JobState | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            case_sensitive=False,
            help="Only these: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Maximum number of jobs to list.")] = 20,
    before: Annotated[
        str | None, typer.Option("--before", metavar="JOB_ID", help="Only jobs older than this one.")
    ] = None,
    release: Annotated[
        str | None, typer.Option("--release", metavar="PLUGIN@VERSION", help="Only runs of this release.")
    ] = None,
    action: Annotated[str | None, typer.Option("--action", metavar="NAME", help="Only runs of this action.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--since", metavar="TIME", formats=TIME_FORMATS, help=f"Only jobs created at this time or later: {TIMES}."
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", metavar="TIME", formats=TIME_FORMATS, help="Only jobs created before this time."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only those that continue without an agent, in the data folder here.")
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="DIR", help=f"With --offline: the data folder.{default_of('data_dir')}"),
    ] = None,
) -> None:
    """List jobs, the newest first."""
    if offline:
        from synapse_agent.runner.left_runs import seen_runs
        from synapse_agent.settings import data_folder

        invocation.output.result([each.record() for each in seen_runs(data_folder(data_dir))], "jobs")
        return
    if release is not None and "@" not in release:
        raise UsageFailure(
            f"--release {release} is not a release, PLUGIN@VERSION. 'synapse-agent list' shows the cached releases."
        )
    with invocation.calling(job_id=before):
        found = invocation.client.list_jobs(
            status=status and status.value,
            limit=limit,
            before=before,
            release=release,
            action=action,
            created_after=since and since.astimezone(),
            created_before=until and until.astimezone(),
        )
    invocation.output.result(found, "jobs")


@with_agent
def get(invocation: Invocation, job_id: JobId) -> None:
    """Show a job: its state, progress, and result or error."""
    job_id = invocation.whole_job_id(job_id)
    with invocation.calling(job_id=job_id):
        found = invocation.client.get_job(job_id)
    invocation.show_job(found)


@with_agent
def logs(
    invocation: Invocation,
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the job ends.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", metavar="N", min=1, help="Only the last lines.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option("--since", metavar="TIME", formats=TIME_FORMATS, help=f"Only output from this time on: {TIMES}."),
    ] = None,
) -> None:
    """Print a job's output as text; as a JSON string with --json, as one JSON event a line with --json --follow."""
    output, job_id = invocation.output, invocation.whole_job_id(job_id)
    if follow and (tail is not None or since is not None):
        raise UsageFailure("--follow shows a log from its beginning. Remove --tail and --since.")
    with invocation.calling(job_id=job_id):
        if not follow:
            log = invocation.client.get_job_logs(job_id, tail=tail, since=since and since.astimezone())
            # Text in a pipe as well, so that other programs can read it.
            output.json_line(log) if invocation.as_json else output.log(log)
            return
        for event in invocation.client.tail_job_logs(job_id):
            _tell(invocation, dict(event))


@with_agent
def files(invocation: Invocation, job_id: JobId) -> None:
    """List the files of a finished job."""
    with invocation.calling(job_id=job_id):
        found = invocation.client.list_job_files(job_id)
    invocation.output.result(found, "files")


@with_agent
def download(
    invocation: Invocation,
    job_id: JobId,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="The files; all by default.", show_default=False)
    ] = None,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to write them to.")] = Path(),
) -> None:
    """Download files of a finished job, and print their paths."""
    client = invocation.client
    with (
        invocation.calling(job_id=job_id),
        make_display(invocation.output, f"downloading from job {job_id} (MB)") as display,
    ):
        on_progress = shown_bytes(display.progress)
        if names:
            paths = [client.download_job_file(job_id, name, to=to / name, on_progress=on_progress) for name in names]
        else:
            paths = client.download_job_files(job_id, to=to, on_progress=on_progress)
    for path in paths:
        invocation.output.text(f"{path}\n")


@with_agent
def stop(invocation: Invocation, job_id: JobId) -> None:
    """Stop a job and its processes; a finished job stays as it is."""
    job_id = invocation.whole_job_id(job_id)
    with invocation.calling(job_id=job_id), make_display(invocation.output, f"stopping job {job_id}"):
        found = invocation.client.stop_job(job_id)
    invocation.show_job(found)


@with_agent
def delete(invocation: Invocation, job_id: JobId) -> None:
    """Delete a finished job with its result and log; stop a running one first."""
    job_id = invocation.whole_job_id(job_id)
    with invocation.calling(job_id=job_id):
        invocation.client.delete_job(job_id)
    invocation.output.note(f"Deleted job {job_id}.")


@with_agent
def wait(invocation: Invocation, job_id: JobId) -> None:
    """Wait for a job and print its result; Ctrl-C ends the command, not the job."""
    job_id = invocation.whole_job_id(job_id)
    client = invocation.client
    watch = Watch(client, job_id, make_display(invocation.output, f"waiting for job {job_id}"), is_ours=False)
    with invocation.calling(job_id=job_id):
        result = watch.wait_for(lambda: client.wait_for_job(job_id))
    invocation.output.result(result, "value")


def _tell(invocation: Invocation, event: dict[str, Any]) -> None:
    """Write a job's event: log lines to stdout, everything else to stderr."""
    output = invocation.output
    if invocation.as_json:
        output.json_line(event)
    elif event.get("type") == "log":
        output.log_line(str(event.get("message", "")), overwritten=bool(event.get("overwritten")))
    elif (line := line_of(event)) is not None:
        output.note(line)
    elif event.get("type") == "error":
        output.note(str(event.get("message", "")))
