"""The errors of a cluster."""

from __future__ import annotations

from synapse_agent.problems import Problem


class NodeLost(Exception):
    """The actor of a node has died, or can't be reached."""

    def __init__(self, why: str, *, has_ended: bool = False) -> None:
        """`has_ended` is whether its process is known to have ended, rather than only presumed dead with its node."""
        super().__init__(why)
        self.has_ended = has_ended


class NodeFailed(Exception):
    """A node's actor exists, but its task failed."""


class ClusterSilent(Exception):
    """The cluster's head does not respond."""


class NoneFits(Exception):
    """No existing node is large enough."""


def cluster_unavailable(why: str) -> Problem:
    """Return the problem of a cluster that can't be used now."""
    return Problem(503, "cluster_unavailable", f"{why.rstrip('.')}. Nothing has run. Try again later.")
