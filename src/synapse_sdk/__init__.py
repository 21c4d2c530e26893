"""A typed client of Synapse agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse_sdk._version import __version__

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["__version__", "openapi_path"]


def openapi_path() -> Path:
    """Return where `openapi.yaml`, the contract of the agents that this client speaks to, lies on this machine."""
    from pathlib import Path

    import synapse_agent_api

    return Path(synapse_agent_api.__file__).with_name("openapi.yaml")
