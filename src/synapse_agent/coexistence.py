"""Detect the public SDK in the same environment: both packages contain `synapse_sdk`, and overwrite each other."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

CURE = (
    "synapse-agent-client and the public synapse-sdk both contain the package `synapse_sdk`, and both are, or were, "
    "installed in this environment. Use two environments. To repair this one, run 'pip uninstall synapse-sdk' and "
    "'pip install --force-reinstall --no-deps synapse-agent-client'"
)


def is_mixed() -> bool:
    """Return whether our `synapse_sdk` contains files of the public SDK, or lacks some that it removed."""
    found = find_spec("synapse_sdk")
    folders = [Path(each) for each in (found and found.submodule_search_locations) or ()]
    return not folders or any(
        (folder / "plugins" / "__init__.py").is_file() or not (folder / "__init__.py").is_file() for folder in folders
    )
