"""This machine's resources for runs."""

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
    """The resources of all runs together; without amounts, only slots count, since a cluster counts the rest."""

    slots: int
    """How many run at once."""
    reserve: int = 0
    """How many of these are reserved for awaited calls."""
    cpus: float = math.inf
    memory: float = math.inf
    gpus: tuple[Gpu, ...] | None = None

    def check(self, wanted: Resources) -> None:
        """Raise `Problem` 422 `no_node_fits` if a run's needs exceed the machine."""
        gpus = math.inf if self.gpus is None else len(self.gpus)
        if wanted.num_cpus > self.cpus or wanted.memory > self.memory or wanted.num_gpus > gpus:
            has = Resources(self.cpus, gpus, int(self.memory))
            hint = "" if gpus or not wanted.num_gpus else " If GPUs were not found, declare them with `serve --gpus N`."
            message = f"This machine has {has}, and the run requests {wanted}.{hint}"
            raise no_node_fits(wanted, [f"this machine ({has})"], message)


def this_machine(settings: Settings, environ: Mapping[str, str]) -> Machine:
    """Read the machine's resources; on a cluster, whose nodes have the resources, only slots count."""
    slots, reserve = settings.runs_at_once, settings.reserved_runs
    if settings.runner == "ray":
        if settings.gpus is not None:
            raise StartError("--gpus is for the runner local. On a cluster, use `ray start --num-gpus` on each node.")
        return Machine(slots, reserve)
    return Machine(slots, reserve, usable_cpus(), usable_memory(), find_gpus(settings.gpus, environ))


def no_node_fits(wanted: Resources, nodes: list[str], message: str) -> Problem:
    """Return the problem of a request that no node can satisfy; `nodes` are the existing ones."""
    return Problem(422, "no_node_fits", message, resources=wanted.as_dict(), nodes=nodes)
