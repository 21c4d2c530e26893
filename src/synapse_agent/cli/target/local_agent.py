"""The agent that this user serves on this machine, as its data folder tells."""

from __future__ import annotations

from synapse_agent.cli.target.resolve import Local
from synapse_agent.settings import default_data_dir
from synapse_agent.storage.address_file import kept_address
from synapse_agent.storage.token_file import TOKEN_FILE


def local_agent() -> Local:
    """Return what `serve` has left in the user's own data folder."""
    folder = default_data_dir()
    path = folder / TOKEN_FILE
    try:
        token = path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        token = None
    return Local(kept_address(folder), token, path)
