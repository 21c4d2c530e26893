"""Plugins that are named by their folder instead of a lookup."""

from __future__ import annotations

import re
from pathlib import Path

from synapse_agent.cli.failures import UsageFailure

_PATH = re.compile(r"~|\.{0,2}/|\.{1,2}$")
"""Beginnings of a path that no lookup has."""


def is_path(lookup: str) -> bool:
    """Return whether a lookup is a path."""
    return bool(_PATH.match(lookup))


def check_no_folder(lookup: str) -> None:
    """Raise `UsageFailure` if a lookup is the bare name of a plugin's folder."""
    if "@" not in lookup and not lookup.isdigit() and Path(lookup, "config.yaml").is_file():
        raise UsageFailure(f"{lookup!r} is not a release, CODE@VERSION. To run the folder, use ./{lookup}.")


def plugin_folder(path: Path) -> Path:
    """Return a plugin's folder as an absolute path; `UsageFailure` if it is not one."""
    folder = path.expanduser().resolve()
    if not folder.is_dir():
        raise UsageFailure(f"{path} is not a folder. Pass the plugin's folder, which contains its config.yaml.")
    if not (folder / "config.yaml").is_file():
        from synapse_agent.plugins.config import rename_hint  # loads YAML, which few commands need

        hint = rename_hint(folder) or ". Pass the plugin's own folder"
        raise UsageFailure(f"{path} has no config.yaml{hint}.")
    return folder
