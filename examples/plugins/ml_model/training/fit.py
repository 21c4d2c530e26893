"""Fits the model to heights.csv and writes ../plugin/model.json: `python fit.py`.

The model: the next step of a series is a weighted sum of its last two, with the weights of least squares.
The data: the height of a bean plant in cm, day by day, made up for this example.
"""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path

HEIGHTS = Path(__file__).with_name("heights.csv")
MODEL = Path(__file__).parent.parent / "plugin" / "model.json"


def read_heights() -> list[float]:
    """Return the heights, oldest first."""
    with HEIGHTS.open(newline="") as file:
        return [float(row["height"]) for row in csv.DictReader(file)]


def fit(series: list[float]) -> dict[str, float]:
    """Return the weights of the last step and of the one before it."""
    steps = [after - before for before, after in pairwise(series)]
    earlier, last, following = steps[:-2], steps[1:-1], steps[2:]
    determinant = dot(last, last) * dot(earlier, earlier) - dot(last, earlier) ** 2
    last_weight = dot(last, following) * dot(earlier, earlier) - dot(earlier, following) * dot(last, earlier)
    earlier_weight = dot(earlier, following) * dot(last, last) - dot(last, following) * dot(last, earlier)
    return {"last": round(last_weight / determinant, 4), "earlier": round(earlier_weight / determinant, 4)}


def dot(left: list[float], right: list[float]) -> float:
    """Return the sum of the products."""
    return sum(a * b for a, b in zip(left, right, strict=True))


if __name__ == "__main__":
    MODEL.write_text(json.dumps(fit(read_heights())) + "\n")
