"""The action `pre_annotate`."""

from __future__ import annotations

from typing import Any


class PreAnnotator:
    """Finds the pixels that are darker than a threshold."""

    def __init__(self, **kwargs: Any) -> None:
        self.threshold = kwargs.get("threshold", 50)

    def pre_annotate(self, data: Any) -> dict[str, Any]:
        """Return the box around the dark part of `data`, the rows of a gray image."""
        dark = [(x, y) for y, row in enumerate(data) for x, grey in enumerate(row) if grey < self.threshold]
        if not dark:
            return {"annotations": []}
        columns, rows = [x for x, _ in dark], [y for _, y in dark]
        return {"annotations": [{"box": [min(columns), min(rows), max(columns), max(rows)]}]}
