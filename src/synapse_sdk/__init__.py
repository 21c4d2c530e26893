"""A typed client of Synapse agents."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from synapse_sdk._version import __version__

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["__version__", "openapi_path"]

# Importing pathlib would take longer than everything else here.
if os.path.exists(os.path.join(__path__[0], "plugins", "__init__.py")):  # noqa: PTH110, PTH118
    warnings.warn(
        "The public synapse-sdk is installed here too, and its `synapse_sdk` and this one have overwritten each "
        "other. Use two environments for the two packages.",
        stacklevel=2,
    )


def openapi_path() -> Path:
    """Return the local path of `openapi.yaml`, the contract of the agents that this client calls."""
    from pathlib import Path

    import synapse_agent_api

    return Path(synapse_agent_api.__file__).with_name("openapi.yaml")
