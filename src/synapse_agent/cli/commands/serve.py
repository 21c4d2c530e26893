"""`serve`, and the program that the other commands join."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from synapse_agent.cli.commands import runner_options, serve_options
from synapse_agent.cli.commands.env import app as env_app
from synapse_agent.server.process_secrets import keep_to_itself
from synapse_agent.settings import Settings, UsageError, check_plugins_folder, default_data_dir
from synapse_agent.util.sizes import option_size
from synapse_agent.util.standard_streams import warn

TOKEN_VARIABLE = "SYNAPSE_AGENT_TOKEN"
BACKEND_TOKEN_VARIABLE = "SYNAPSE_BACKEND_TOKEN"
_TO_COME = ""

app = typer.Typer(
    name="synapse-agent",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(env_app, name="env", rich_help_panel="On this machine")


@app.command(rich_help_panel="On this machine")
def serve(
    plugins: Annotated[
        list[Path] | None,
        typer.Option("--plugins", metavar="DIR", help="Folder of plugin folders and zip archives; repeatable."),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option("--backend", metavar="URL", help="Backend to fetch from what no --plugins folder has."),
    ] = None,
    backend_token: Annotated[
        str | None,
        typer.Option(
            "--backend-token",
            metavar="TOKEN",
            help="Token that the backend wants. As readable on a command line as --token: prefer --backend-token-file. "
            f"[env var: {BACKEND_TOKEN_VARIABLE}]",
        ),
    ] = None,
    backend_token_file: Annotated[
        Path | None,
        typer.Option("--backend-token-file", metavar="FILE", help="File that holds the backend's token."),
    ] = None,
    backend_allow: serve_options.BackendAllow = None,
    backend_time_limit: Annotated[
        float, typer.Option("--backend-time-limit", metavar="SECONDS", help="Longest that a release may take to come.")
    ] = 540.0,
    max_archive_size: Annotated[
        str, typer.Option("--max-archive-size", metavar="SIZE", help="Largest archive to take from the backend.")
    ] = "1GiB",
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
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="File that holds the token; - for standard input."),
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
        typer.Option(
            "--max-concurrent-runs",
            metavar="N",
            min=1,
            help="Runs at once. [default: the cores it may use; on a cluster 256]",
        ),
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
    max_environments: Annotated[
        int, typer.Option("--max-environments", metavar="N", min=1, help="Environments to keep; the longest unused go.")
    ] = 64,
    max_environments_size: Annotated[
        str, typer.Option("--max-environments-size", metavar="SIZE", help="What environments may take together.")
    ] = "50GiB",
    allow_requirement_urls: serve_options.AllowRequirementUrls = False,
    index_url: serve_options.IndexUrl = None,
    extra_index_url: serve_options.ExtraIndexUrls = None,
    tls_cert: serve_options.TlsCert = None,
    tls_key: serve_options.TlsKey = None,
    no_sandbox: serve_options.NoSandbox = False,
    allow_write: serve_options.AllowWrite = None,
    allow_debug: serve_options.AllowDebug = False,
    no_debug: serve_options.NoDebug = False,
    debug_root: serve_options.DebugRoots = None,
    max_zygotes: serve_options.MaxZygotes = None,
    max_cpu_seconds: serve_options.MaxCpuSeconds = None,
    max_memory: serve_options.MaxMemory = None,
    max_file_size: serve_options.MaxFileSize = None,
    max_processes: serve_options.MaxProcesses = None,
    max_plugin_files: serve_options.MaxPluginFiles = None,
    max_plugin_size: serve_options.MaxPluginSize = None,
    max_archive_ratio: serve_options.MaxArchiveRatio = None,
    max_debug_size: serve_options.MaxDebugSize = None,
    runner: runner_options.Runner = "local",
    ray_address: runner_options.RayAddress = None,
    ray_wait: runner_options.RayWait = None,
) -> None:
    """Run the agent until it is told to stop. Prints `ready http://HOST:PORT` (or `https:`) once it takes requests."""
    given_outside = os.environ.get(BACKEND_TOKEN_VARIABLE) or None
    keep_to_itself()
    from synapse_agent.server.process import serve_until_stopped

    if backend_token is None and backend is not None:  # without one it is there for another agent
        backend_token = given_outside
    for path in python or ():
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise UsageError(f"--python {path} is not there, or is no program. Name an interpreter.")
    for path in plugins or ():
        check_plugins_folder(path)
    if not plugins and backend is None:
        raise UsageError("The agent has no place to get plugins from: give --plugins, --backend or both.")
    settings = Settings(
        plugins=tuple(plugins or ()),
        backend=backend,
        backend_token=_backend_token(backend_token, backend_token_file),
        backend_time_limit=backend_time_limit,
        max_archive_bytes=option_size(max_archive_size, "--max-archive-size"),
        data_dir=data_dir or default_data_dir(),
        host=host,
        port=port,
        token=_TO_COME,
        allowed_hosts=tuple(allowed_host or ()),
        max_queued_runs=max_queued_runs,
        keep_jobs_days=keep_jobs_days,
        max_jobs_bytes=option_size(max_jobs_size, "--max-jobs-size"),
        time_limit=time_limit,
        pythons=tuple(python or ()),
        max_environments=max_environments,
        max_environments_bytes=option_size(max_environments_size, "--max-environments-size"),
        sandbox=not no_sandbox,
        allow_requirement_urls=allow_requirement_urls,
        **_given(
            index_url=index_url,
            extra_index_urls=extra_index_url,
            backend_allow=backend_allow,
            ray_wait=ray_wait,
            max_concurrent_runs=max_concurrent_runs,
            tls_cert=tls_cert,
            tls_key=tls_key,
            allow_write=allow_write,
            allow_debug=_one_of(allow_debug, no_debug),
            debug_roots=debug_root,
            max_zygotes=max_zygotes,
            max_cpu_seconds=max_cpu_seconds,
            max_memory=max_memory,
            max_file_size=max_file_size,
            max_processes=max_processes,
            max_plugin_files=max_plugin_files,
            max_plugin_size=max_plugin_size,
            max_archive_ratio=max_archive_ratio,
            max_debug_size=max_debug_size,
        ),
        runner=runner,
        ray_address=ray_address,
    )
    if backend is not None:
        from synapse_agent.plugins.backend.addresses import backend_address
        from synapse_agent.plugins.backend.reach import Reach

        Reach(backend_address(backend), allowed=settings.backend_allow)
    # Last, for it can make a token: a wrong call leaves none behind.
    token = _token(settings, token, token_file, no_token=no_token)
    serve_until_stopped(replace(settings, token=token))


def _backend_token(token: str | None, file: Path | None) -> str | None:
    from synapse_agent.storage.token_file import checked_token, read_token

    if token is not None and file is not None:
        raise UsageError(f"Give one of --backend-token (or {BACKEND_TOKEN_VARIABLE}) and --backend-token-file.")
    if file is not None:
        return read_token(file)
    return None if token is None else checked_token(token, source=f"--backend-token or {BACKEND_TOKEN_VARIABLE}")


def _one_of(allow_debug: bool, no_debug: bool) -> bool | None:
    if allow_debug and no_debug:
        raise UsageError("Give one of --allow-debug and --no-debug.")
    return allow_debug if allow_debug or no_debug else None


def _given(**options: Any) -> dict[str, Any]:
    """Leave out what was not said, so that the settings' own defaults hold."""
    said = {name: value for name, value in options.items() if value is not None}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}


def _token(settings: Settings, token: str | None, file: Path | None, *, no_token: bool) -> str | None:
    """Decide which token callers must send; None lets everyone in, which the settings take on loopback only."""
    from synapse_agent.storage.token_file import checked_token, kept_token, read_token

    if sum([token is not None, file is not None, no_token]) > 1:
        raise UsageError(f"Give one of --token (or {TOKEN_VARIABLE}), --token-file and --no-token.")
    if token is not None:
        return checked_token(token, source=f"--token or {TOKEN_VARIABLE}")
    if file is not None:
        return read_token(file)
    if no_token or not settings.is_on_loopback:
        return None
    kept, path = kept_token(settings.data_dir)
    warn(f"synapse-agent: callers must send the token in {path}")
    return kept
