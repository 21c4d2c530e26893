"""The context of actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class RuntimeContext:
    """The surroundings of a run."""

    logger: Any
    env: Any
    job_id: str | None = None
    client: Any = None
