"""What this machine has for runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from synapse_agent.errors import StartError
from synapse_agent.plugins.resources import Resources
from synapse_agent.problems import Problem
from synapse_agent.runner.resources.gpus import Gpu, find_gpus
from synapse_agent.settings import Settings
from synapse_agent.util.cpus import usable_cpus
from synapse_agent.util.memory import usable_memory


@dataclass(frozen=True, slots=True)
class Machine:
    """What runs can have together; without figures nothing but slots is counted, as a cluster counts the rest."""

    slots: int
    """How many run at once."""
    reserve: int = 0
    """How many of these are for calls that somebody waits for."""
    cpus: float = math.inf
    memory: float = math.inf
    gpus: tuple[Gpu, ...] | None = None

    def check(self, wanted: Resources) -> None:
        """Raise `Problem` 422 `no_node_fits` if a run could never have what it asks for."""
        gpus = math.inf if self.gpus is None else len(self.gpus)
        if wanted.num_cpus > self.cpus or wanted.memory > self.memory or wanted.num_gpus > gpus:
            has = Resources(self.cpus, gpus, int(self.memory))
            hint = "" if gpus or not wanted.num_gpus else " Without a GPU that was found, `serve --gpus N` counts them."
            message = f"This machine has {has}, and the run asks for {wanted}.{hint}"
            raise no_node_fits(wanted, [f"this machine ({has})"], message)


def this_machine(settings: Settings, environ: Mapping[str, str]) -> Machine:
    """Look at the machine; on a cluster, whose nodes have the resources, only slots count."""
    slots, reserve = settings.runs_at_once, settings.reserved_runs
    if settings.runner == "ray":
        if settings.gpus is not None:
            raise StartError(
                "--gpus is for the runner local. On a cluster, `ray start --num-gpus` counts a node's GPUs."
            )
        return Machine(slots, reserve)
    return Machine(slots, reserve, usable_cpus(), usable_memory(), find_gpus(settings.gpus, environ))


def no_node_fits(wanted: Resources, nodes: list[str], message: str) -> Problem:
    """Return the refusal of what no node is large enough for; `nodes` are those that there are."""
    return Problem(422, "no_node_fits", message, resources=wanted.as_dict(), nodes=nodes)
