"""The action `train`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from my_plugin.line import Line, read_points

CALIBRATION = Path(__file__).parent.parent / "calibration.csv"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a caller may set."""

    epochs: int = 10
    learning_rate: float = 0.5

    def __post_init__(self) -> None:
        if type(self.epochs) is not int or self.epochs < 1:
            raise ValueError(f"epochs must be a whole number from 1, not {self.epochs!r}")
        if type(self.learning_rate) not in (int, float) or not 0 < self.learning_rate <= 1:
            raise ValueError(f"learning_rate must be above 0 and up to 1, not {self.learning_rate!r}")


def train(params: dict[str, Any], context: Any) -> dict[str, Any]:
    """Fit a line to the calibration data and return it with the loss after each epoch; it is a file of the job, too."""
    options = Options(**params)
    points = read_points(CALIBRATION)
    line = Line()
    losses = []
    for epoch in range(1, options.epochs + 1):
        line = line.descend(points, options.learning_rate)
        losses.append(round(line.loss(points), 6))
        print(f"epoch {epoch}/{options.epochs}: loss {losses[-1]}")
        context.set_progress(epoch, options.epochs)
    found = {"slope": round(line.slope, 4), "intercept": round(line.intercept, 4)}
    (context.outputs / "line.json").write_text(json.dumps(found), encoding="utf-8")
    return {**found, "losses": losses}
