"""The commands of `synapse-agent`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from synapse_agent.settings import Settings, StartError, UsageError, check_plugins_folder, default_data_dir
from synapse_agent.sizes import parse_size

TOKEN_VARIABLE = "SYNAPSE_AGENT_TOKEN"

app = typer.Typer(
    name="synapse-agent",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def run() -> None:
    """Run the command line and exit: 0 after being told to stop, 1 where the agent cannot start, 2 for a wrong call."""
    try:
        app()
    except StartError as error:
        typer.echo(f"synapse-agent: {error}", err=True)
        sys.exit(error.exit_code)


@app.callback()
def synapse_agent() -> None:
    """Fetch, cache and run plugin releases behind the Synapse agent API."""


@app.command()
def serve(
    plugins: Annotated[
        list[Path],
        typer.Option("--plugins", metavar="DIR", help="Folder of plugin folders and zip archives; repeatable."),
    ],
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="DIR",
            help="Where releases, jobs and environments are kept. [default: the user's state folder]",
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="Port to listen on; 0 picks a free one.")
    ] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar=TOKEN_VARIABLE,
            metavar="TOKEN",
            help="Token that callers must send. Everyone on this machine can read a command line: prefer --token-file.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="File that holds the token.")
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Let every process on this machine in; on loopback only.")
    ] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host", metavar="NAME", help="Host name that requests may carry besides our own; repeatable."
        ),
    ] = None,
    max_concurrent_runs: Annotated[
        int | None,
        typer.Option("--max-concurrent-runs", metavar="N", min=1, help="Runs at once. [default: the number of cores]"),
    ] = None,
    max_queued_runs: Annotated[
        int, typer.Option("--max-queued-runs", metavar="N", min=0, help="Runs that wait for their turn; more get 429.")
    ] = 1000,
    keep_jobs_days: Annotated[
        float, typer.Option("--keep-jobs-days", metavar="DAYS", help="How long jobs that are over are kept.")
    ] = 30.0,
    max_jobs_size: Annotated[
        str,
        typer.Option(
            "--max-jobs-size", metavar="SIZE", help="What logs and results of jobs may take; the oldest go first."
        ),
    ] = "10GiB",
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", metavar="SECONDS", help="Longest that an action may take.")
    ] = None,
    python: Annotated[
        list[Path] | None,
        typer.Option("--python", metavar="PATH", help="Interpreter for plugins, besides those found; repeatable."),
    ] = None,
) -> None:
    """Run the agent until it is told to stop. Prints `ready http://HOST:PORT` once it accepts requests."""
    from synapse_agent.foreground import serve_until_stopped
    from synapse_agent.security import is_loopback_host

    os.environ.pop(TOKEN_VARIABLE, None)
    for path in python or ():
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise UsageError(f"--python {path} is not there, or is no program. Name an interpreter.")
    for path in plugins:
        check_plugins_folder(path)
    folder = data_dir or default_data_dir()
    options = {"max_concurrent_runs": max_concurrent_runs} if max_concurrent_runs else {}
    settings = Settings(
        plugins=tuple(plugins),
        data_dir=folder,
        host=host,
        port=port,
        token=_token(folder, token, token_file, no_token=no_token, is_loopback=is_loopback_host(host)),
        allowed_hosts=tuple(allowed_host or ()),
        max_queued_runs=max_queued_runs,
        keep_jobs_days=keep_jobs_days,
        max_jobs_bytes=_size(max_jobs_size, "--max-jobs-size"),
        time_limit=time_limit,
        pythons=tuple(python or ()),
        **options,
    )
    serve_until_stopped(settings)


def _size(text: str, option: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def _token(folder: Path, token: str | None, file: Path | None, *, no_token: bool, is_loopback: bool) -> str | None:
    """Decide which token callers must send; None lets everyone in."""
    from synapse_agent.tokens import checked_token, kept_token, read_token

    if sum([token is not None, file is not None, no_token]) > 1:
        raise UsageError(f"Give one of --token (or {TOKEN_VARIABLE}), --token-file and --no-token.")
    if token is not None:
        return checked_token(token, source=f"--token or {TOKEN_VARIABLE}")
    if file is not None:
        return read_token(file)
    if not is_loopback:
        raise UsageError("An agent that listens beyond this machine needs a token: give --token-file or --token.")
    if no_token:
        return None
    kept, path = kept_token(folder)
    typer.echo(f"synapse-agent: callers must send the token in {path}", err=True)
    return kept
