"""What a backend may take of the agent's time and room."""

from __future__ import annotations

from dataclasses import dataclass, field

from synapse_agent.storage.trees import MEBIBYTE, TreeLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How long a backend may take, in seconds, and how much it may send."""

    connect: float = 5.0
    silence: float = 30.0
    """Between two pieces of an answer."""
    total: float = 540.0
    """For the record and the archive together."""
    record_bytes: int = MEBIBYTE
    archive_bytes: int = 1024 * MEBIBYTE
    unpacked: TreeLimits = field(default_factory=TreeLimits)
