"""The public SDK in the same environment: both packages bring `synapse_sdk`, and the last one to come overwrites it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

CURE = (
    "synapse-agent-client and the public synapse-sdk both bring the package `synapse_sdk`, and both are, or were, "
    "installed in this environment: keep them in two; to repair this one, run 'pip uninstall synapse-sdk' and "
    "'pip install --force-reinstall --no-deps synapse-agent-client'"
)


def is_mixed() -> bool:
    """Return whether files of the public SDK lie in our `synapse_sdk`, or it took some of ours with it when it left."""
    found = find_spec("synapse_sdk")
    folders = [Path(each) for each in (found and found.submodule_search_locations) or ()]
    return not folders or any(
        (folder / "plugins" / "__init__.py").is_file() or not (folder / "__init__.py").is_file() for folder in folders
    )
