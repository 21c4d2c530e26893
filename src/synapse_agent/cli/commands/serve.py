"""`serve`, and the program that the other commands are added to."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from synapse_agent.cli.commands.env import app as env_app
from synapse_agent.cli.commands.serve_options import use_configuration, with_settings
from synapse_agent.cli.commands.storage import app as storage_app
from synapse_agent.cli.mistakes import CommandGroup
from synapse_agent.errors import UsageError
from synapse_agent.options import ACCESS, PLUGINS, variable_name
from synapse_agent.server.process_secrets import keep_to_itself
from synapse_agent.settings import Settings, check_plugins_folder, data_folder

TOKEN_VARIABLE = "SYNAPSE_AGENT_TOKEN"
BACKEND_TOKEN_VARIABLE = "SYNAPSE_BACKEND_TOKEN"
_TO_COME = ""

app = typer.Typer(
    name="synapse-agent",
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(env_app, name="env", rich_help_panel="On this machine")
app.add_typer(storage_app, name="storage", rich_help_panel="On this machine")


def _option(name: str, text: str, *, panel: str | None = None, metavar: str | None = "FILE", **more: Any) -> Any:
    """Return an option beyond those of the settings; its environment variable is named like theirs."""
    variable = variable_name(name)
    return typer.Option(
        name, metavar=metavar, help=text, envvar=variable, show_envvar=False, rich_help_panel=panel, **more
    )


_CONFIG = "TOML file with options: `max-queued-runs = 50`. Paths in it are relative to its folder."
_BACKEND_TOKEN_FILE = f"File with the backend's token. Without either option, {BACKEND_TOKEN_VARIABLE} is used."
_NO_TOKEN = "Require no token; on loopback only."
Config = Annotated[Path | None, _option("--config", _CONFIG, callback=use_configuration, is_eager=True)]
BackendTokenFile = Annotated[Path | None, _option("--backend-token-file", _BACKEND_TOKEN_FILE, panel=PLUGINS)]
NoToken = Annotated[bool, _option("--no-token", _NO_TOKEN, panel=ACCESS, metavar=None)]


@app.command(rich_help_panel="On this machine")
@with_settings
def serve(
    config: Config = None,  # noqa: ARG001 - its callback uses it
    backend_token_file: BackendTokenFile = None,
    no_token: NoToken = False,
    **options: Any,
) -> None:
    """Run the agent until it is stopped. Prints `ready http://HOST:PORT` (or `https:`) once it accepts requests.

    Options that the command line omits are read from the environment, then from --config: --max-queued-runs 50 is also
    SYNAPSE_AGENT_MAX_QUEUED_RUNS=50. In a variable, separate paths by colons and names by spaces.
    """
    backend_token_outside = os.environ.get(BACKEND_TOKEN_VARIABLE) or None
    keep_to_itself()
    from synapse_agent.server.process import serve_until_stopped

    given = _given(options)
    given["data_dir"] = data_folder(given.get("data_dir"))
    token, backend_token = given.pop("token", None), given.pop("backend_token", None)
    if backend_token is None and "backend" in given:  # without a backend, the token is for another agent
        backend_token = backend_token_outside
    given |= _given({"backend_token": _backend_token(backend_token, backend_token_file)})
    settings = Settings(**given, token=_TO_COME)
    _check_sources(settings)
    # Last, because it can create a token: an invalid call must not leave one behind.
    token = _token(settings, token, no_token=no_token)
    serve_until_stopped(replace(settings, token=token))


def _check_sources(settings: Settings) -> None:
    for path in settings.pythons:
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise UsageError(f"--python {path} does not exist, or is not executable. Pass an interpreter.")
    for path in settings.plugins:
        check_plugins_folder(path)
    if not settings.plugins and settings.backend is None:
        raise UsageError("The agent has no source of plugins. Pass --plugins, --backend or both.")
    if settings.backend is not None:
        from synapse_agent.plugins.backend.addresses import backend_address
        from synapse_agent.plugins.backend.reach import Reach

        Reach(backend_address(settings.backend), allowed=settings.backend_allow)


def _backend_token(token: str | None, file: Path | None) -> str | None:
    from synapse_agent.storage.token_file import checked_token, read_token

    if token is not None and file is not None:
        raise UsageError(f"Use either --backend-token (or {BACKEND_TOKEN_VARIABLE}) or --backend-token-file.")
    if file is not None:
        return read_token(file)
    return None if token is None else checked_token(token, source=f"--backend-token or {BACKEND_TOKEN_VARIABLE}")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Drop options that were not passed, so that the settings' own defaults apply."""
    given = {name: value for name, value in options.items() if value not in (None, [])}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def _token(settings: Settings, token: str | None, *, no_token: bool) -> str | None:
    """Return the agent's own token, created if needed; None with --no-token or --token-file, and off loopback."""
    from synapse_agent.storage.token_file import checked_token, kept_token

    if no_token and (token is not None or settings.token_files):
        raise UsageError(f"Use only one of --token (or {TOKEN_VARIABLE}), --token-file and --no-token.")
    if token is not None:
        return checked_token(token, source=f"--token or {TOKEN_VARIABLE}")
    if no_token or settings.token_files or not settings.is_on_loopback:
        return None
    return kept_token(settings.data_dir)[0]
