"""What `process` does with a text."""

from __future__ import annotations

import re
from collections import Counter


class Processor:
    """Counts words."""

    def process(self, text: str) -> dict[str, object]:
        """Return the number of words and the most frequent ones, each with how often it occurs."""
        words = re.findall(r"\w+", text.lower())
        return {"words": len(words), "most_frequent": dict(Counter(words).most_common(3))}
