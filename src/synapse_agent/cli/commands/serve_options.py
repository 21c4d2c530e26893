"""The options of `synapse-agent serve` that bound what actions and callers may do; left out, `Settings` decides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synapse_agent.util.sizes import parse_size


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


BackendAllow = Annotated[
    list[str] | None,
    typer.Option(
        "--backend-allow",
        metavar="HOST",
        help="Host, address or network that its records may name although it is not public; repeatable.",
    ),
]
AllowRequirementUrls = Annotated[
    bool,
    typer.Option(
        "--allow-requirement-urls", help="Take requirements at addresses, plugins' own indexes, and paths outside them."
    ),
]
IndexUrl = Annotated[
    str | None,
    typer.Option(
        "--index-url", metavar="URL", help="Where requirements come from. [default: as pip and uv are set up]"
    ),
]
ExtraIndexUrls = Annotated[
    list[str] | None,
    typer.Option("--extra-index-url", metavar="URL", help="Where requirements come from as well; repeatable."),
]
TlsCert = Annotated[
    Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate, then its chain, in PEM: speak TLS.")
]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's key, in PEM.")]
NoSandbox = Annotated[
    bool, typer.Option("--no-sandbox", help="Let actions write wherever the agent's user can, and signal others.")
]
AllowWrite = Annotated[
    list[Path] | None,
    typer.Option("--allow-write", metavar="PATH", help="Let actions write to it, and below it; repeatable."),
]
AllowDebug = Annotated[bool, typer.Option("--allow-debug", help="Take debug runs beyond loopback, too.")]
NoDebug = Annotated[bool, typer.Option("--no-debug", help="Take no debug runs, on loopback neither.")]
DebugRoots = Annotated[
    list[Path] | None,
    typer.Option(
        "--debug-root",
        metavar="DIR",
        help="Folder that a debug run's plugin_path must lie in; repeatable. [default: any on loopback, else none]",
    ),
]
MaxZygotes = Annotated[
    int | None,
    typer.Option("--max-zygotes", metavar="N", min=1, help="Processes kept ready for runs while idle. [default: 8]"),
]
MaxCpuSeconds = Annotated[
    int | None,
    typer.Option("--max-cpu-seconds", metavar="N", min=1, help="CPU time that each process of a run gets."),
]
MaxMemory = Annotated[
    int | None,
    typer.Option("--max-memory", metavar="SIZE", parser=_size, help="Address space of each of its processes: 8GiB."),
]
MaxFileSize = Annotated[
    int | None,
    typer.Option("--max-file-size", metavar="SIZE", parser=_size, help="Largest file that a run may write."),
]
MaxProcesses = Annotated[
    int | None,
    typer.Option(
        "--max-processes", metavar="N", min=1, help="Processes and threads of the agent's user, if it is not root."
    ),
]
MaxPluginFiles = Annotated[
    int | None,
    typer.Option("--max-plugin-files", metavar="N", min=1, help="Files of a plugin. [default: 20000]"),
]
MaxPluginSize = Annotated[
    int | None,
    typer.Option("--max-plugin-size", metavar="SIZE", parser=_size, help="A plugin, unpacked. [default: 4GiB]"),
]
MaxArchiveRatio = Annotated[
    int | None,
    typer.Option("--max-archive-ratio", metavar="N", min=1, help="An archive's content to its size. [default: 200]"),
]
MaxDebugSize = Annotated[
    int | None,
    typer.Option("--max-debug-size", metavar="SIZE", parser=_size, help="What a plugin_path holds. [default: 512MiB]"),
]
