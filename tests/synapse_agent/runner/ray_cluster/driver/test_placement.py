"""The choice of a run's node."""

from __future__ import annotations

from synapse_agent.plugins.resources import Resources
from synapse_agent.runner.ray_cluster.driver.placement import NodeLoad, NodeState, amounts, best, described, fitting


def node(name: str, cpus: float = 4, gpus: float = 0, free: float | None = None, **more) -> NodeLoad:
    """Describe a node with a number of free CPUs."""
    total = {"CPU": cpus, "GPU": gpus, "memory": 1000.0}
    state = NodeState(name, f"address of {name}", total, {**total, "CPU": cpus if free is None else free})
    return NodeLoad(state, **{"running": {}, "idle": {}, **more})


def chosen(nodes: list[NodeLoad], **wanted: float) -> str | None:
    """Return the chosen node of a run."""
    choice = best(amounts(Resources(**wanted)), nodes)
    return choice and choice.state.id


def test_the_least_busy_node_is_chosen() -> None:
    """This is the node with the smallest share in use, by any program."""
    assert chosen([node("others", free=2), node("ours", running={"CPU": 1}, free=3)]) == "ours"
    assert chosen([node("small", cpus=2, free=1), node("large", cpus=8, free=5)]) == "large"
    assert chosen([node("first"), node("second")]) == "first"


def test_a_node_with_the_environment_is_preferred() -> None:
    """It is preferred as long as it has room."""
    assert chosen([node("idle"), node("busy", free=1, has_environment=True)]) == "busy"
    assert chosen([node("idle"), node("full", free=0, has_environment=True)]) == "idle"


def test_what_a_run_asks_for_has_to_be_free() -> None:
    """These are GPUs, memory and CPUs; None means that no node has room now."""
    nodes = [node("plain"), node("with", gpus=1, free=1)]
    assert chosen(nodes, num_gpus=1) == "with"
    assert chosen(nodes, num_gpus=2) is None
    assert chosen(nodes, num_cpus=2, num_gpus=1) is None
    assert chosen(nodes, memory=1001) is None
    assert chosen([node("full", free=0)], num_cpus=0) == "full"


def test_reservations_that_are_idle_are_no_load() -> None:
    """The driver can release them; one of the right size is best."""
    assert chosen([node("a", free=0, idle={"CPU": 4})], num_cpus=4) == "a"
    assert chosen([node("new"), node("kept", free=3, idle={"CPU": 1}, has_idle=True)]) == "kept"
    assert chosen([node("new"), node("kept", free=2, idle={"CPU": 1}, running={"CPU": 1}, has_idle=True)]) == "new"


def test_what_the_head_does_not_know_yet_counts() -> None:
    """Runs that have just been placed are counted once, before and after the head knows of them."""
    assert chosen([node("told", free=4, running={"CPU": 4})]) is None
    assert chosen([node("told", free=0, running={"CPU": 3}, idle={"CPU": 1})]) == "told"


def test_amounts_are_as_fine_as_ray_counts() -> None:
    """An amount below Ray's smallest unit would be zero, which Ray refuses to reserve."""
    assert amounts(Resources(num_cpus=1e-9, num_gpus=1 / 3)) == {"CPU": 0.0001, "GPU": 0.3333}
    assert amounts(Resources(num_cpus=0)) == {}


def test_a_node_fits_when_it_is_large_enough() -> None:
    """Its load does not matter; sums of fractions count like whole numbers."""
    states = [node("busy", cpus=0.1 + 0.2, free=0).state, node("small", cpus=0.2).state]
    assert [state.id for state in fitting({"CPU": 0.3}, states)] == ["busy"]
    assert described(states[1]) == "address of small (0.2 CPUs, 1000 bytes of memory)"
