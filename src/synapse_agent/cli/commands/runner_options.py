"""The options of `synapse-agent serve` and `demo` that say where actions run."""

from __future__ import annotations

from typing import Annotated

import typer

Runner = Annotated[
    str, typer.Option("--runner", metavar="NAME", help="Where actions run: local, or ray for a Ray cluster.")
]
RayAddress = Annotated[
    str | None, typer.Option("--ray-address", metavar="HOST:PORT", help="The head of the cluster, with --runner ray.")
]
RayWait = Annotated[
    float | None,
    typer.Option("--ray-wait", metavar="SECONDS", help="How long a run waits for room on it. [default: 3600]"),
]
