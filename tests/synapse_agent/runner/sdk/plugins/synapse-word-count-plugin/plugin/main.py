"""The action `main`."""

from __future__ import annotations

from collections import Counter
from typing import Any


def run(**kwargs: Any) -> Any:
    """Count the words of `text`, and say which other options came along."""
    words = Counter(kwargs.pop("text").lower().split())
    return {"words": dict(words), "options": kwargs}
