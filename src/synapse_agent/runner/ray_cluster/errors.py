"""What can go wrong with a cluster."""

from __future__ import annotations


class NodeLost(Exception):
    """The actor of a node has died, or can't be reached."""


class NodeFailed(Exception):
    """A node's actor is there, and what it was asked to do went wrong."""


class ClusterSilent(Exception):
    """The cluster's head does not answer."""


class NoneFits(Exception):
    """No node that is there is large enough."""
