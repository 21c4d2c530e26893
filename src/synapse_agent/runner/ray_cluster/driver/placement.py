"""Choose the node for a run. No I/O here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from synapse_agent.plugins.resources import Resources

_DIGITS = 4
"""Ray counts in ten-thousandths."""
_LEAST = 10**-_DIGITS
_EPSILON = 1e-6
"""Error of sums of these floats."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node, as the cluster's head last described it."""

    id: str
    address: str
    total: Mapping[str, float]
    free: Mapping[str, float]
    """The unreserved resources, about a second ago."""


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """A node, as this agent sees it now."""

    state: NodeState
    running: Mapping[str, float]
    """What this agent's runs hold there, or are about to."""
    idle: Mapping[str, float]
    """What this agent has reserved for future runs, and can release."""
    has_environment: bool = False
    has_idle: bool = False
    """Whether one of these reservations has the wanted size."""


def amounts(wanted: Resources) -> dict[str, float]:
    """Return the wanted resources by Ray's names, in Ray's precision, without those of amount 0."""
    named = {"CPU": wanted.num_cpus, "GPU": wanted.num_gpus, "memory": float(wanted.memory)}
    return {name: max(round(amount, _DIGITS), _LEAST) for name, amount in named.items() if amount}


def fits(wanted: Mapping[str, float], there: Mapping[str, float]) -> bool:
    """Return whether a node with these amounts can provide what is wanted."""
    return all(amount <= there.get(name, 0.0) + _EPSILON for name, amount in wanted.items())


def best(wanted: Mapping[str, float], nodes: Iterable[NodeLoad], *, may_let_go: bool = True) -> NodeLoad | None:
    """Choose among the nodes with room now: one with the environment first, then the least busy one.

    `may_let_go` is whether reservations for future runs may be released for it. Returns None if no node has room.
    """
    with_room = [node for node in nodes if node.has_idle or has_room(wanted, node, may_let_go=may_let_go)]
    return min(with_room, key=lambda node: (not node.has_environment, load(node), not node.has_idle), default=None)


def fitting(wanted: Mapping[str, float], nodes: Collection[NodeState]) -> list[NodeState]:
    """Return the nodes that have room for what is wanted when nothing else runs on them."""
    return [node for node in nodes if fits(wanted, node.total)]


def described(node: NodeState) -> str:
    """Describe a node's resources for a message."""
    has = Resources(node.total.get("CPU", 0.0), node.total.get("GPU", 0.0), int(node.total.get("memory", 0)))
    return f"{node.address} ({has})"


def has_room(wanted: Mapping[str, float], node: NodeLoad, *, may_let_go: bool = True) -> bool:
    """Return whether a node has room now, or after releasing reservations for future runs."""
    kept = {} if may_let_go else node.idle
    ours = {name: node.running.get(name, 0.0) + kept.get(name, 0.0) for name in node.state.total}
    return fits(wanted, {name: total - others - ours[name] for name, total, others in _shares(node)})


def lacking(wanted: Mapping[str, float], node: NodeLoad) -> dict[str, float]:
    """Return what a node must reserve for a run: its needs, from the scarcest kind to the first that the node lacks."""
    kept: dict[str, float] = {}
    for name in ("GPU", "memory", "CPU"):
        if name in wanted:
            kept[name] = wanted[name]
            if not has_room({name: wanted[name]}, node):
                break
    return kept


def load(node: NodeLoad) -> float:
    """Return a node's load: the used share of the resource of which most is in use, by this agent or by others."""
    return max(((others + node.running.get(name, 0.0)) / total for name, total, others in _shares(node)), default=0.0)


def _shares(node: NodeLoad) -> list[tuple[str, float, float]]:
    """Return each resource's name, its total, and how much of it others hold.

    The head's figures may lack this agent's newest reservations, or still include released ones.
    """
    total = {name: node.state.total[name] for name in ("CPU", "GPU", "memory") if node.state.total.get(name)}
    ours = {name: node.running.get(name, 0.0) + node.idle.get(name, 0.0) for name in total}
    taken = {name: there - node.state.free.get(name, 0.0) for name, there in total.items()}
    return [(name, there, max(0.0, taken[name] - ours[name])) for name, there in total.items()]
