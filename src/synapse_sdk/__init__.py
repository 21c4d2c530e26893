"""A typed client of Synapse agents."""

from __future__ import annotations

from synapse_sdk._version import __version__

__all__ = ["__version__"]
