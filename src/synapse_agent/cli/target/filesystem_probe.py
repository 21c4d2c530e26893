"""Whether an agent sees the same files as we do. An address on loopback proves nothing: a port may be forwarded."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from synapse_agent.util.hosts import is_loopback_name
from synapse_sdk.exceptions import ClientError

if TYPE_CHECKING:
    from synapse_sdk.clients.agent import AgentClient


def may_share_files(url: str) -> bool:
    """Check that asking is worth it: the address is one of this machine's own."""
    host = urlsplit(url).hostname or ""
    return is_loopback_name(host) or host.endswith(".localhost")


def shares_files(client: AgentClient) -> bool:
    """Check that an agent reads what we write.

    It is asked to debug an action that isn't there, in a folder that we have just made, and has to name the one that
    is: a word that it can only know from the file. Nothing runs.
    """
    word = f"seen_{secrets.token_hex(8)}"
    with tempfile.TemporaryDirectory(prefix="synapse-agent-") as folder:
        (Path(folder) / "config.yaml").write_text(
            f"code: probe\nactions: {{{word}: 'probe:probe'}}\n", encoding="utf-8"
        )
        try:
            client.run_debug_plugin_release("unseen", plugin_path=folder)
        except ClientError as error:
            return error.error_type == "unknown_action" and word in error.message
    return False
