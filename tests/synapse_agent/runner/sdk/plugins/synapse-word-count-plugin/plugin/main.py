"""The action `main`."""

from __future__ import annotations

from collections import Counter
from typing import Any


def run(**kwargs: Any) -> Any:
    """Count the words of `text`, and return the names of other options."""
    words = Counter(kwargs.pop("text").lower().split())
    return {"words": dict(words), "options": kwargs}
