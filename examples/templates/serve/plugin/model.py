"""The model of NAME, which stays loaded between calls."""

from __future__ import annotations


class Model:
    """Predicts values on a line."""

    def setup(self) -> None:
        """Load the model: called once in each worker, before its first call."""
        print("loading")  # in the log of the call that waits for it
        self._slope, self._intercept = 2.0, 0.5

    def predict(self, data: list[float]) -> list[float]:
        """Predict the value of each x. Changes of `self` persist for later calls."""
        return [self._slope * x + self._intercept for x in data]
