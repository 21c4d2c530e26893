"""`storage list|clear`: what plugins have stored and cached."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synapse_agent.cli.commands.serve_options import setting_option
from synapse_agent.cli.mistakes import CommandGroup
from synapse_agent.cli.terminal.output import Output
from synapse_agent.errors import StartError, UsageError
from synapse_agent.settings import data_folder
from synapse_agent.util.sizes import show_size

if TYPE_CHECKING:
    from synapse_agent.files.lasting import LastingFolder, LastingFolders

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List what plugins store and cache, and clear it.",
)

DataDir = Annotated[Path | None, setting_option("data_dir")]
StorageDir = Annotated[Path | None, setting_option("storage_dir")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on a terminal too, with sizes in bytes.")]


@app.command("list")
def list_storage(data_dir: DataDir = None, storage_dir: StorageDir = None, as_json: Json = False) -> None:
    """List the storages and caches of plugins. Works while an agent runs."""
    folders = _folders(data_dir, storage_dir)
    found = [("storage", each) for each in folders.storages()] + [("cache", each) for each in folders.caches()]
    output = Output(as_json=as_json, quiet=False)
    if found or output.is_json:
        output.result([_as_json(kind, each) for kind, each in found], "storages")
    if not output.is_json:
        typer.echo(f"{show_size(sum(each.size for _, each in found))} in total")


@app.command()
def clear(
    plugin: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="The plugin's code.", show_default=False)
    ] = None,
    cache: Annotated[bool, typer.Option("--cache", help="Clear its cache, but not its storage.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Clear those of all plugins.")] = False,
    data_dir: DataDir = None,
    storage_dir: StorageDir = None,
) -> None:
    """Remove what a plugin has stored, in debug runs too, unless a run uses it. Works while an agent runs."""
    if (plugin is None) != everything:
        raise UsageError("Pass a plugin's code, or --all.")
    folders = _folders(data_dir, storage_dir)
    found = folders.caches() if cache else folders.storages()
    chosen = [each for each in found if everything or each.plugin == plugin]
    if not chosen and not everything:
        known = ", ".join(sorted({each.plugin for each in found})) or "none"
        raise StartError(f"Plugin {plugin!r} has no {'cache' if cache else 'storage'}. Plugins with one: {known}.")
    used = [each for each in chosen if not folders.remove(each)]
    freed = sum(each.size for each in chosen if each not in used)
    typer.echo(f"{show_size(freed)} freed")
    if used:
        raise StartError(f"In use by runs: {', '.join(_name(each) for each in used)}. Stop the runs, or wait.")


def _folders(data_dir: Path | None, storage_dir: Path | None) -> LastingFolders:
    from synapse_agent.files.lasting import LastingFolders

    root = data_folder(data_dir)
    if not root.is_dir():
        raise StartError(f"Data folder {root} was not found. Pass the agent's with --data-dir.")
    return LastingFolders(root, storage_dir=storage_dir)


def _name(folder: LastingFolder) -> str:
    return f"{folder.plugin} (debug runs)" if folder.is_debug else folder.plugin


def _as_json(kind: str, folder: LastingFolder) -> dict[str, Any]:
    return {
        "plugin": folder.plugin,
        "debug": folder.is_debug,
        "kind": kind,
        "size": folder.size,
        "last_used": datetime.fromtimestamp(folder.last_used, UTC).isoformat(timespec="seconds"),
        "in_use": folder.in_use,
        "path": str(folder.path),
    }
