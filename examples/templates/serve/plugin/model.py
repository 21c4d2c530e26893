"""The model of NAME, which stays loaded between calls."""

from __future__ import annotations


class Model:
    """Predicts values on a line."""

    def setup(self) -> None:
        """Load the model: the worker calls this once, before its first call."""
        print("loading")  # in the log of the first call
        self._slope, self._intercept = 2.0, 0.5

    def predict(self, data: list[float]) -> list[float]:
        """Predict the value of each x. Changes of `self` persist for later calls."""
        return [self._slope * x + self._intercept for x in data]
