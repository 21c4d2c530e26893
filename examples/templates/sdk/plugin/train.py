"""The actions of NAME, which are classes of the public SDK."""

from __future__ import annotations

from pydantic import BaseModel, Field
from synapse_sdk.plugins.action import BaseAction


class TrainParams(BaseModel):
    points: list[tuple[float, float]] = Field(min_length=2)
    epochs: int = Field(default=10, gt=0)
    learning_rate: float = Field(default=0.1, gt=0, le=1)


class TrainAction(BaseAction[TrainParams]):
    """Fits a slope by gradient descent."""

    def execute(self) -> dict[str, float]:
        self.ctx.log_message("Training starts.")
        slope = 0.0
        for epoch in range(1, self.params.epochs + 1):
            slope -= self.params.learning_rate * self._gradient(slope)
            self.set_progress(epoch, self.params.epochs, "train")
        self.set_metrics({"slope": round(slope, 3)}, "train")
        return {"slope": round(slope, 3)}

    def _gradient(self, slope: float) -> float:
        points = self.params.points
        return sum(2 * x * (slope * x - y) for x, y in points) / len(points)
