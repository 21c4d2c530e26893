"""A line, and how it learns."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """y = slope * x + intercept."""

    slope: float = 0.0
    intercept: float = 0.0

    def error(self, point: Point) -> float:
        """Return how far above a point the line runs."""
        x, y = point
        return self.slope * x + self.intercept - y

    def loss(self, points: list[Point]) -> float:
        """Return the mean squared error."""
        return fmean(self.error(point) ** 2 for point in points)

    def descend(self, points: list[Point], learning_rate: float) -> Line:
        """Return the line one step down the loss's gradient."""
        slope_gradient = fmean(2 * self.error(point) * point[0] for point in points)
        intercept_gradient = fmean(2 * self.error(point) for point in points)
        return Line(
            self.slope - learning_rate * slope_gradient,
            self.intercept - learning_rate * intercept_gradient,
        )


def read_points(path: Path) -> list[Point]:
    """Read a CSV file of two columns, with one line of headings."""
    with path.open(newline="") as file:
        return [(float(x), float(y)) for x, y in list(csv.reader(file))[1:]]
