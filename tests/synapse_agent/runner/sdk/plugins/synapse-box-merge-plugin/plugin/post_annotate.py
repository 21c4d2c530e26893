"""The action `post_annotate`."""

from __future__ import annotations

from typing import Any


class PostAnnotator:
    """Merges boxes that lie closer than a gap."""

    def __init__(self, **kwargs: Any) -> None:
        self.gap = kwargs.get("gap", 0)

    def post_annotate(self, data: Any) -> dict[str, Any]:
        """Merge the intervals in `data`."""
        merged: list[list[int]] = []
        for start, end in sorted(data):
            if merged and start - merged[-1][1] <= self.gap:
                merged[-1][1] = max(end, merged[-1][1])
            else:
                merged.append([start, end])
        return {"boxes": merged}
