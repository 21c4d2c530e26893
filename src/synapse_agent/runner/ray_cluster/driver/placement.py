"""Which node a run goes to. No I/O here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from synapse_agent.plugins.resources import Resources

_DIGITS = 4
"""Ray counts in ten-thousandths."""
_LEAST = 10**-_DIGITS
_EPSILON = 1e-6
"""By less than this sums of them, as floats, are off."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node, as the cluster's head has last described it."""

    id: str
    address: str
    total: Mapping[str, float]
    free: Mapping[str, float]
    """What nobody has reserved, as of a second or so ago."""


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """A node, as this agent sees it now."""

    state: NodeState
    running: Mapping[str, float]
    """What this agent's runs have there, or are about to have."""
    idle: Mapping[str, float]
    """What this agent has reserved for runs to come, and can let go of."""
    has_environment: bool = False
    has_idle: bool = False
    """Whether some of that is of the wanted size."""


def amounts(wanted: Resources) -> dict[str, float]:
    """Say what is wanted by Ray's names and as finely as it counts; what is not wanted is left out."""
    named = {"CPU": wanted.num_cpus, "GPU": wanted.num_gpus, "memory": float(wanted.memory)}
    return {name: max(round(amount, _DIGITS), _LEAST) for name, amount in named.items() if amount}


def fits(wanted: Mapping[str, float], there: Mapping[str, float]) -> bool:
    """Tell whether a node that has this much can give what is wanted."""
    return all(amount <= there.get(name, 0.0) + _EPSILON for name, amount in wanted.items())


def best(wanted: Mapping[str, float], nodes: Iterable[NodeLoad], *, may_let_go: bool = True) -> NodeLoad | None:
    """Choose among the nodes that have room now: one with the environment first, then the least busy one.

    `may_let_go` is whether what has been reserved for runs to come may be given up for it. None where no node has room.
    """
    with_room = [node for node in nodes if node.has_idle or has_room(wanted, node, may_let_go=may_let_go)]
    return min(with_room, key=lambda node: (not node.has_environment, load(node), not node.has_idle), default=None)


def fitting(wanted: Mapping[str, float], nodes: Collection[NodeState]) -> list[NodeState]:
    """Give the nodes that have room for what is wanted when nothing else runs on them."""
    return [node for node in nodes if fits(wanted, node.total)]


def described(node: NodeState) -> str:
    """Say what a node has, as a person would."""
    has = Resources(node.total.get("CPU", 0.0), node.total.get("GPU", 0.0), int(node.total.get("memory", 0)))
    return f"{node.address} ({has})"


def has_room(wanted: Mapping[str, float], node: NodeLoad, *, may_let_go: bool = True) -> bool:
    """Tell whether a node has as much now, or when what is reserved for runs to come is let go of."""
    kept = {} if may_let_go else node.idle
    ours = {name: node.running.get(name, 0.0) + kept.get(name, 0.0) for name in node.state.total}
    return fits(wanted, {name: total - others - ours[name] for name, total, others in _shares(node)})


def lacking(wanted: Mapping[str, float], node: NodeLoad) -> dict[str, float]:
    """Return what a node has to keep for a run: what it lacks first, and what it wants of the scarcer kinds."""
    kept: dict[str, float] = {}
    for name in ("GPU", "memory", "CPU"):
        if name in wanted:
            kept[name] = wanted[name]
            if not has_room({name: wanted[name]}, node):
                break
    return kept


def load(node: NodeLoad) -> float:
    """Say how busy a node is: the share of its scarcest resource that runs, ours and others', have."""
    return max(((others + node.running.get(name, 0.0)) / total for name, total, others in _shares(node)), default=0.0)


def _shares(node: NodeLoad) -> list[tuple[str, float, float]]:
    """Give each resource with how much of it there is, and how much of that others have.

    What the head has told may lack our newest reservations, or still have those that we have let go of.
    """
    total = {name: node.state.total[name] for name in ("CPU", "GPU", "memory") if node.state.total.get(name)}
    ours = {name: node.running.get(name, 0.0) + node.idle.get(name, 0.0) for name in total}
    taken = {name: there - node.state.free.get(name, 0.0) for name, there in total.items()}
    return [(name, there, max(0.0, taken[name] - ours[name])) for name, there in total.items()]
