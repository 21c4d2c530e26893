"""The embedded agent: fetches, caches and runs plugin releases behind the contract of `openapi.yaml`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from synapse_agent.coexistence import CURE, is_mixed

if TYPE_CHECKING:
    from synapse_agent.embedded import EmbeddedAgent
    from synapse_sdk._version import __version__

__all__ = ["EmbeddedAgent", "__version__"]


def __getattr__(name: str) -> Any:
    """Import `EmbeddedAgent` at its first use, so that the command line starts without it."""
    if name == "__version__":
        return import_module("synapse_sdk._version").__version__
    if name == "EmbeddedAgent":
        try:
            return import_module("synapse_agent.embedded").EmbeddedAgent
        except (ImportError, SyntaxError) as error:
            if is_mixed():
                raise ImportError(CURE) from error
            if not isinstance(error, ModuleNotFoundError):
                raise
            hint = "The agent's dependencies are not installed: pip install 'synapse-agent-client[agent]'."
            raise ModuleNotFoundError(f"{error}. {hint}", name=error.name) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
