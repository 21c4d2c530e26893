"""The HTTP library that this package speaks through, named here and nowhere else."""

from __future__ import annotations

import httpx as httpx
