"""`dev`: run an action again whenever its plugin changes."""

from __future__ import annotations

from contextlib import suppress

from synapse_agent.cli.commands.folder_agent import own_agent
from synapse_agent.cli.commands.run_params import read_params
from synapse_agent.cli.commands.runs import (
    Language,
    Param,
    Params,
    PluginFolder,
    Requirement,
    SourceAction,
    new_job_id,
    run_folder,
)
from synapse_agent.cli.exit_codes import ExitCode
from synapse_agent.cli.failures import Failure
from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.options import with_output
from synapse_agent.cli.target.plugin_folders import plugin_folder
from synapse_sdk.exceptions import ClientError


@with_output
def dev(
    invocation: Invocation,
    path: PluginFolder,
    action: SourceAction,
    params: Params = None,
    param: Param = None,
    requirement: Requirement = None,
    language: Language = None,
) -> None:
    """Run an action of a plugin's folder, and run it again whenever a file of the folder changes, until Ctrl-C.

    A temporary agent keeps environments and imports between runs. A change during a run
    stops the run.
    """
    from synapse_agent.cli.authoring.changes import FolderChanges

    folder = plugin_folder(path)
    given = read_params(params, param or ())
    is_file = params is not None and params.startswith("@")
    job_id = new_job_id()

    def stop_run() -> None:
        with suppress(ClientError):  # the run has ended, or has not started
            client.stop_job(job_id)

    with own_agent(invocation) as client, FolderChanges(folder, on_change=stop_run) as changes:
        while True:
            try:
                given = read_params(params, param or ()) if is_file else given
                run_folder(
                    invocation, folder, action, given, job_id=job_id, requirements=requirement, language=language
                )
            except Failure as failure:
                if failure.code == ExitCode.INTERRUPTED:
                    raise
                if not changes.are_there:
                    details = failure.details if invocation.is_verbose else ""
                    invocation.output.note(f"{failure.line}\n{details}".rstrip())
            try:
                if not changes.are_there:
                    invocation.output.note("Waiting for a change. Press Ctrl-C to stop.")
                changed = changes.wait()
            except KeyboardInterrupt:
                return
            job_id = new_job_id()
            invocation.output.note(f"\n{', '.join(changed[:3])}{', …' if len(changed) > 3 else ''} changed.")
