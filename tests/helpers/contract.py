"""The contract, parsed once for all tests of a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spec_diff import parsed

CONTRACT: dict[str, Any] = parsed((Path(__file__).parents[2] / "openapi.yaml").read_bytes())
