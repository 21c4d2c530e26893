"""`env list|prune`: list and remove the environments of plugins."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synapse_agent.cli.commands.serve_options import default_of, size
from synapse_agent.cli.mistakes import CommandGroup
from synapse_agent.cli.terminal.output import Output
from synapse_agent.errors import StartError, UsageError
from synapse_agent.settings import data_folder
from synapse_agent.util.sizes import show_size

if TYPE_CHECKING:
    from synapse_agent.runner.environments.store import Removal, StoredEnvironment

DAY = 24 * 3600.0

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List the environments of plugins, and remove some.",
)


DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help=f"The agent's data folder.{default_of('data_dir')}"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on a terminal too, with sizes in bytes.")]


@app.command("list")
def list_environments(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the environments, the most recently used first. Works while an agent runs."""
    with _environments(data_dir) as folder:
        found = _look(folder)
    output = Output(as_json=as_json, quiet=False)
    if found or output.is_json:
        output.result([environment.record() for environment in found], "environments")
    if not output.is_json:
        typer.echo(_summary(found))


@app.command()
def prune(
    data_dir: DataDir = None,
    max_count: Annotated[
        int | None, typer.Option("--max-count", metavar="N", min=0, help="Keep at most this many.")
    ] = None,
    max_size: Annotated[
        int | None,
        typer.Option("--max-size", metavar="SIZE", parser=size, help="Keep at most this size, such as 20GiB."),
    ] = None,
    unused_for: Annotated[
        float | None,
        typer.Option("--unused-for", metavar="DAYS", min=0, help="Remove those not used for this many days."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all.")] = False,
    as_json: Json = False,
) -> None:
    """Remove unused environments, the least recently used first. Works while an agent runs."""
    from synapse_agent.storage.eviction import CacheBounds, to_remove

    if not everything and (max_count, max_size, unused_for) == (None, None, None):
        raise UsageError("Choose what to remove: --max-count, --max-size, --unused-for or --all.")
    bounds = CacheBounds(
        count=0 if everything else max_count,
        size=max_size,
        unused_for=None if unused_for is None else unused_for * DAY,
    )
    with _environments(data_dir) as folder:
        removed = _remove(folder, to_remove(_look(folder), bounds, now=time.time()))
        left = _look(folder)
    output = Output(as_json=as_json, quiet=False)
    gone = [_removal_as_json(removal) for removal in removed]
    if output.is_json:
        output.json_line({"removed": gone, "left": [environment.record() for environment in left]}, indent=2)
        return
    if gone:
        output.result(gone, "environments")
    typer.echo(_freed(removed))
    typer.echo(f"left: {_summary(left)}")


@contextmanager
def _environments(data_dir: Path | None) -> Iterator[Path]:
    """Return the folder of an agent's environments; raise `StartError` if it can't be used."""
    from synapse_agent.storage.data_folder import unusable

    root = data_folder(data_dir)
    if not root.is_dir():
        raise StartError(f"Data folder {root} was not found. Pass the agent's with --data-dir.")
    try:
        yield root / "environments"
    except OSError as error:
        raise unusable(root, error) from error


def _look(folder: Path) -> list[StoredEnvironment]:
    from synapse_agent.runner.environments.store import stored_environments

    return sorted(stored_environments(folder), key=lambda environment: environment.last_used, reverse=True)


def _remove(folder: Path, environments: Sequence[StoredEnvironment]) -> list[Removal]:
    from synapse_agent.runner.environments.store import Remover
    from synapse_agent.storage.scratch import Scratch

    if not environments:
        return []
    scratch = Scratch(folder.parent / "scratch")
    try:
        remover = Remover(folder, bytecode=folder.parent / "bytecode", trash=scratch.name)
        tried = [remover.remove(environment) for environment in environments]
    finally:
        scratch.close()
    return [removal for removal in tried if removal is not None]


def _removal_as_json(removal: Removal) -> dict[str, Any]:
    return {**removal.environment.record(), "freed": removal.usage.own}


def _summary(environments: Sequence[StoredEnvironment]) -> str:
    total = show_size(sum(environment.size for environment in environments))
    in_use = sum(environment.in_use for environment in environments)
    return f"{_count(environments)}, {total}; {in_use} in use"


def _freed(removed: Sequence[Removal]) -> str:
    own = sum(removal.usage.own for removal in removed)
    shared = sum(removal.usage.shared for removal in removed)
    said = f"{_count(removed)} removed, {show_size(own)} freed"
    return said + (
        f"; {show_size(shared)} shared with uv's cache or other environments remain (uv cache prune)" if shared else ""
    )


def _count(items: Sequence[object]) -> str:
    return "1 environment" if len(items) == 1 else f"{len(items)} environments"
