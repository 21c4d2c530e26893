"""A typed client of Synapse agents."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from synapse_sdk._version import __version__

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["__version__", "openapi_path"]

# pathlib would take longer to import than everything else here.
if os.path.exists(os.path.join(__path__[0], "plugins", "__init__.py")):  # noqa: PTH110, PTH118
    warnings.warn(
        "The public synapse-sdk is in this environment, too, and its `synapse_sdk` and this one have overwritten each "
        "other: keep the two packages in two environments.",
        stacklevel=2,
    )


def openapi_path() -> Path:
    """Return the path of `openapi.yaml`, the contract of the agents that this client calls, on this machine."""
    from pathlib import Path

    import synapse_agent_api

    return Path(synapse_agent_api.__file__).with_name("openapi.yaml")
