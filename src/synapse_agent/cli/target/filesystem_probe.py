"""Check whether an agent sees our files. A loopback address proves nothing: a port may be forwarded."""

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
    """Return whether the probe makes sense: the address is one of this machine's own."""
    host = urlsplit(url).hostname or ""
    return is_loopback_name(host) or host.endswith(".localhost")


def shares_files(client: AgentClient) -> bool:
    """Check that an agent reads what we write.

    The request debugs a missing action of a new folder. The error must name the existing action, a random word that
    only the file contains. Nothing runs.
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
