"""What can go wrong with a cluster."""

from __future__ import annotations

from synapse_agent.problems import Problem


class NodeLost(Exception):
    """The actor of a node has died, or can't be reached."""

    def __init__(self, why: str, *, has_ended: bool = False) -> None:
        """`has_ended` is whether its process has been seen to end, and is not just taken for dead with its node."""
        super().__init__(why)
        self.has_ended = has_ended


class NodeFailed(Exception):
    """A node's actor is there, and what it was asked to do went wrong."""


class ClusterSilent(Exception):
    """The cluster's head does not answer."""


class NoneFits(Exception):
    """No node that is there is large enough."""


def cluster_unavailable(why: str) -> Problem:
    """Return the refusal of a cluster that can't be used now."""
    return Problem(503, "cluster_unavailable", f"{why.rstrip('.')}. Nothing has run; try again later.")
