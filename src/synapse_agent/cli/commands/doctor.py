"""`doctor`: find what is wrong and how to fix it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synapse_agent.cli.commands.serve_options import default_of
from synapse_agent.cli.exit_codes import ExitCode
from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.options import with_agent


@with_agent
def doctor(
    invocation: Invocation,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="DIR", help=f"The agent's data folder.{default_of('data_dir')}"),
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", metavar="HOST:PORT", help="Head of a Ray cluster to check as well.")
    ] = None,
) -> None:
    """Check the connection to the agent and this machine, and report what is wrong and how to fix it.

    Exits with 1 if there is a fault; warnings don't count.
    """
    from synapse_agent.cli.doctor.agent_checks import check_agent
    from synapse_agent.cli.doctor.findings import as_json, warning
    from synapse_agent.cli.doctor.machine_checks import check_machine
    from synapse_agent.cli.target.named_agents import agents_file, is_open_to_others
    from synapse_agent.settings import data_folder

    invocation.timeout = invocation.timeout or 10.0
    findings = [*check_agent(invocation.target, lambda: invocation.client.with_options(max_retries=0))]
    if is_open_to_others(agents_file()):
        found = f"others on this machine can read the tokens in {agents_file()}"
        findings.append(warning("named agents", found, f"chmod 600 {agents_file()}"))
    findings.extend(check_machine(data_folder(data_dir), ray_address))
    invocation.output.result(as_json(findings), "findings")
    if any(finding.status == "fault" for finding in findings):
        raise typer.Exit(ExitCode.FAILED)
