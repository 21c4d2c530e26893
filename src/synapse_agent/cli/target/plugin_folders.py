"""Plugins named by the folder that they are in, instead of by a lookup."""

from __future__ import annotations

import re
from pathlib import Path

from synapse_agent.cli.failures import UsageFailure

_PATH = re.compile(r"~|\.{0,2}/|\.{1,2}$")
"""What a path begins with and no lookup does."""


def is_path(lookup: str) -> bool:
    """Return whether a lookup is written as a path."""
    return bool(_PATH.match(lookup))


def check_no_folder(lookup: str) -> None:
    """Raise `UsageFailure` if what should be a lookup is the bare name of a plugin's folder."""
    if "@" not in lookup and not lookup.isdigit() and Path(lookup, "config.yaml").is_file():
        raise UsageFailure(f"{lookup!r} is not a release, CODE@VERSION. To run the folder, write ./{lookup}.")


def plugin_folder(path: Path) -> Path:
    """Return a plugin's folder as an absolute path; `UsageFailure` if it is not one."""
    folder = path.expanduser().resolve()
    if not folder.is_dir():
        raise UsageFailure(f"{path} is not a folder. Name the plugin's, the one with its config.yaml.")
    if not (folder / "config.yaml").is_file():
        from synapse_agent.plugins.config import rename_hint  # it loads YAML, which few commands need

        hint = rename_hint(folder) or ". Name the plugin's own folder"
        raise UsageFailure(f"{path} has no config.yaml{hint}.")
    return folder
