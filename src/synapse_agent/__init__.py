"""The embedded agent: fetches, caches and runs plugin releases behind the contract of `openapi.yaml`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synapse_sdk._version import __version__

if TYPE_CHECKING:
    from synapse_agent.embedded import EmbeddedAgent

__all__ = ["EmbeddedAgent", "__version__"]


def __getattr__(name: str) -> Any:
    """Import `EmbeddedAgent` when it is first asked for, so that the command line starts without it."""
    if name == "EmbeddedAgent":
        try:
            from synapse_agent.embedded import EmbeddedAgent
        except ModuleNotFoundError as error:
            hint = "The agent's dependencies are missing: pip install 'synapse-agent-client[agent]'."
            raise ModuleNotFoundError(f"{error}. {hint}", name=error.name) from error
        return EmbeddedAgent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
