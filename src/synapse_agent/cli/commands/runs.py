"""`run` and `debug`: run actions and show their output meanwhile."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synapse_agent.cli.commands.folder_agent import own_agent
from synapse_agent.cli.commands.releases import create_release
from synapse_agent.cli.commands.run_files import send_files
from synapse_agent.cli.commands.run_params import read_params
from synapse_agent.cli.commands.run_watcher import Watch
from synapse_agent.cli.completion import complete_actions, complete_lookups, complete_params, complete_source_actions
from synapse_agent.cli.failures import UsageFailure
from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.options import with_agent
from synapse_agent.cli.target.plugin_folders import check_no_folder, is_path, plugin_folder
from synapse_agent.cli.terminal.display import make_display
from synapse_sdk.exceptions import ActionFailedError, NotFoundError

if TYPE_CHECKING:
    from synapse_sdk.clients.agent import AgentClient

Runnable = Annotated[
    str,
    typer.Argument(
        metavar="LOOKUP",
        help="The release: its ID, CODE@VERSION, or a plugin's folder, such as ./my_plugin.",
        autocompletion=complete_lookups,
        show_default=False,
    ),
]
Action = Annotated[
    str,
    typer.Argument(metavar="ACTION", help="The action to run.", autocompletion=complete_actions, show_default=False),
]
PluginFolder = Annotated[
    Path, typer.Argument(metavar="PATH", help="The plugin's folder, with its config.yaml.", show_default=False)
]
SourceAction = Annotated[
    str,
    typer.Argument(
        metavar="ACTION", help="The action to run.", autocompletion=complete_source_actions, show_default=False
    ),
]
Params = Annotated[
    str | None,
    typer.Option(
        "--params", metavar="JSON|@FILE|-", help="The params as a JSON object: as text, in a file, or on stdin."
    ),
]
Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="KEY=VALUE",
        help="One param, parsed as JSON if possible, else text; KEY=@FILE sends a file. Repeatable.",
        autocompletion=complete_params,
    ),
]
Requirement = Annotated[
    list[str] | None,
    typer.Option(
        "--requirement", "-r", metavar="REQUIREMENT", help="A package to install besides the plugin's own. Repeatable."
    ),
]
JobId = Annotated[str | None, typer.Option("--job-id", metavar="ID", help="An ID for the job; random by default.")]
Language = Annotated[
    str | None, typer.Option("--language", metavar="CODE", help="Language of the action's messages, such as en.")
]
Priority = Annotated[
    int | None,
    typer.Option("--priority", metavar="N", help="Of a release's waiting runs, the highest starts first. Default: 0."),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait for the result even if the agent runs the action in the background.")
]

Background = Annotated[bool, typer.Option("--background", help="Run it in the background, and print the job at once.")]

Stream = Annotated[
    bool,
    typer.Option("--stream", help="Print each value of a generator action as soon as it arrives, as a line of JSON."),
]


@with_agent
def run(
    invocation: Invocation,
    lookup: Runnable,
    action: Action,
    params: Params = None,
    param: Param = None,
    requirement: Requirement = None,
    job_id: JobId = None,
    language: Language = None,
    priority: Priority = None,
    wait: Wait = False,
    background: Background = False,
    create: Annotated[bool, typer.Option("--create", help="Cache the release on the agent first if needed.")] = False,
    stream: Stream = False,
) -> None:
    """Run an action of a release, or of a plugin's folder, and print its result.

    For a folder, the command starts an agent for the call, and stops it when the action has ended.

    It prints the action's output and progress on stderr. Ctrl-C stops the job; a second Ctrl-C exits at once.
    """
    given = read_params(params, param or ())
    job = job_id or new_job_id()
    if is_path(lookup):
        folder = plugin_folder(Path(lookup))
        if background or create:
            option = "--background" if background else "--create"
            raise UsageFailure(
                f"{option} is for releases: a folder runs on a temporary agent, which ends with the command."
            )
        with own_agent(invocation):
            run_folder(
                invocation,
                folder,
                action,
                given,
                job_id=job,
                requirements=requirement,
                language=language,
                stream=stream,
            )
        return
    if create:
        release = create_release(invocation, lookup)
        lookup = f"{release['plugin']}@{release['version']}"
    check_no_folder(lookup)
    with invocation.calling(lookup=lookup, job_id=job):
        given = send_files(invocation, given)

        def call(client: AgentClient) -> Any:
            options: dict[str, Any] = {
                "requirements": requirement,
                "job_id": job,
                "language": language,
                "priority": priority,
            }
            if stream:
                return client.stream_plugin_release(lookup, action, given, **options)
            return client.run_plugin_release(lookup, action, given, background=background, **options)

        _run(invocation, call, job, what=f"{lookup} {action}", wait=wait, background=background, stream=stream)


@with_agent
def debug(
    invocation: Invocation,
    path: PluginFolder,
    action: SourceAction,
    params: Params = None,
    param: Param = None,
    requirement: Requirement = None,
    job_id: JobId = None,
    language: Language = None,
    priority: Priority = None,
    wait: Wait = False,
    background: Background = False,
    send_source: Annotated[
        bool | None,
        typer.Option(
            "--send-source/--send-path",
            help="Send the Python source, or only the folder's path for the agent to read. "
            "Default: the path if the agent sees the same files.",
        ),
    ] = None,
    stream: Stream = False,
) -> None:
    """Run an action from a folder of source, without creating a release.

    An agent that sees the same files reads the folder itself. To any other agent, the command sends the Python source,
    config.yaml and requirements.txt; a note on stderr lists the files that it omits.
    """
    given = read_params(params, param or ())
    folder = plugin_folder(path)
    job = job_id or new_job_id()
    with invocation.calling(job_id=job):
        given = send_files(invocation, given)
        source = _source(invocation, folder, send_source, requirement or [])

        def call(client: AgentClient) -> Any:
            options = {"job_id": job, "language": language, "priority": priority, **source}
            if stream:
                return client.stream_debug_plugin_release(action, given, **options)
            return client.run_debug_plugin_release(action, given, background=background, **options)

        _run(invocation, call, job, what=f"{folder.name} {action}", wait=wait, background=background, stream=stream)


def run_folder(
    invocation: Invocation,
    folder: Path,
    action: str,
    params: dict[str, Any] | None,
    *,
    job_id: str,
    requirements: list[str] | None = None,
    language: str | None = None,
    stream: bool = False,
) -> None:
    """Run an action of a folder that the agent sees; print its result, or the traceback of its error."""
    with invocation.calling(job_id=job_id), _traceback_shown(invocation):
        params = send_files(invocation, params)

        def call(client: AgentClient) -> Any:
            run = client.stream_debug_plugin_release if stream else client.run_debug_plugin_release
            return run(action, params, plugin_path=folder, job_id=job_id, requirements=requirements, language=language)

        _run(invocation, call, job_id, what=f"{folder.name} {action}", wait=True, background=False, stream=stream)


@contextmanager
def _traceback_shown(invocation: Invocation) -> Iterator[None]:
    """Print the traceback of a failed action; --verbose prints it after the error."""
    try:
        yield
    except ActionFailedError as error:
        if error.traceback and not invocation.is_verbose:
            invocation.output.note(error.traceback.rstrip())
        raise


def _run(
    invocation: Invocation,
    call: Callable[[AgentClient], Any],
    job_id: str,
    *,
    what: str,
    wait: bool,
    background: bool,
    stream: bool = False,
) -> None:
    if (wait or stream) and background:
        option = "--stream" if stream else "--wait"
        raise UsageFailure(f"{option} waits for the result, --background does not. Remove one of them.")
    key = str(uuid.uuid4())
    client = invocation.client
    if background:
        _show_job(invocation, call(client), job_id)
        return

    def run_to_end() -> Any:
        result = call(client.with_options(headers={"Idempotency-Key": key}))
        if stream:
            return _print_each(invocation, result)
        return client.wait_for_job(job_id) if wait and _is_background(client, job_id) else result

    display = make_display(invocation.output, what, may_move=not stream)
    watch = Watch(client, job_id, display, key=key, what=what, is_to_end=wait or stream)
    result = watch.wait_for(run_to_end)
    if stream:
        return
    if watch.method == "job" and not wait:
        _show_job(invocation, result, job_id)
    else:
        invocation.output.result(result, "value")


def _print_each(invocation: Invocation, values: Iterator[Any]) -> None:
    """Print values as they arrive."""
    for value in values:
        invocation.output.json_line(value)


def _show_job(invocation: Invocation, job: Any, job_id: str) -> None:
    note = f"The job runs in the background. 'synapse-agent jobs logs -f {job_id}' follows it."
    invocation.output.note(invocation.asked.repeated_in(note))
    invocation.show_job(job)


def _is_background(client: AgentClient, job_id: str) -> bool:
    """Return whether the response to a run is its job's record; never for an agent without jobs."""
    try:
        return client.get_job(job_id).get("method") == "job"
    except NotFoundError:
        return False


def _source(invocation: Invocation, folder: Path, send_source: bool | None, requirements: list[str]) -> dict[str, Any]:
    """Return the request fields that locate the source."""
    if send_source is None:
        from synapse_agent.cli.target.filesystem_probe import may_share_files, shares_files

        send_source = not (may_share_files(invocation.target.url) and shares_files(invocation.client))
    if not send_source:
        return {"plugin_path": folder, "requirements": requirements}
    from synapse_agent.cli.commands.source_bundle import pack

    packed = pack(folder)
    if packed.left_behind:
        shown = ", ".join(packed.left_behind[:5]) + (", …" if len(packed.left_behind) > 5 else "")
        invocation.output.note(f"Only Python source is sent. Not sent: {shown}")
    return {
        "config": packed.config,
        "modules": packed.modules,
        "requirements": [*packed.requirements, *requirements],
    }


def new_job_id() -> str:
    """Return a new job ID."""
    return uuid.uuid4().hex
