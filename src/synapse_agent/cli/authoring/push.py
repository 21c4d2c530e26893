"""`push`: upload a plugin's folder as a release."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.options import with_agent
from synapse_agent.cli.target.plugin_folders import plugin_folder
from synapse_agent.cli.terminal.display import make_display
from synapse_agent.util.sizes import show_size

if TYPE_CHECKING:
    from synapse_agent.cli.authoring.archive import Packed

_SHOWN = 5


@with_agent
def push(
    invocation: Invocation,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The plugin's folder, with its config.yaml.", show_default=False)
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a release of the same version with other files.")
    ] = False,
) -> None:
    """Pack a plugin's folder and upload it as a release, to an agent that allows it (`serve --allow-push`).

    The archive omits files that match a .gitignore, of the folder or of its parents in the same repository, or a
    .synapseignore, which can also include files again: `!weights.bin`.
    """
    from synapse_agent.cli.authoring.archive import pack_archive  # loading its pattern library takes a while

    folder = plugin_folder(path)
    with tempfile.TemporaryDirectory(prefix="synapse-agent-push-") as scratch:
        archive = Path(scratch, f"{folder.name}.zip")
        invocation.output.note(_what(pack_archive(folder, archive), archive))
        with invocation.calling(), make_display(invocation.output, f"pushing {folder.name}"):
            release = invocation.client.push_plugin_release(archive, replace=replace)
    for warning in release.get("warnings", []):
        invocation.output.note(f"warning: {warning}")
    invocation.output.result(release, "release")


def _what(packed: Packed, archive: Path) -> str:
    what = f"Packed {packed.files} files, {show_size(archive.stat().st_size)}."
    if not packed.ignored:
        return what
    more = ", …" if len(packed.ignored) > _SHOWN else ""
    return f"{what} Ignored: {', '.join(packed.ignored[:_SHOWN])}{more}"
