"""`demo`: the documented calls on an agent of its own, from any folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from synapse_agent.cli.commands import runner_options
from synapse_agent.cli.exit_codes import ExitCode


def demo(
    plugins: Annotated[
        Path | None,
        typer.Option(
            "--plugins",
            metavar="DIR",
            help="Folder of plugins.",
            show_default="the examples that come with the package",
        ),
    ] = None,
    runner: runner_options.Runner = "local",
    ray_address: runner_options.RayAddress = None,
) -> None:
    """Watch example plugins being fetched, run, debugged and deleted, on an agent of its own.

    Needs nothing but the extra `agent`, and a package index for what one of the examples requires.
    """
    from synapse_agent.cli.commands.demo import StepFailed, show_demo

    is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    try:
        show_demo(sys.stdout, is_coloured=is_coloured, plugins=plugins, runner=runner, ray_address=ray_address)
    except StepFailed as failed:
        sys.stderr.write(f"{failed}\n")
        raise typer.Exit(ExitCode.FAILED) from failed
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
