"""An action that is a function marked by the SDK's decorator."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from synapse_sdk.plugins.decorators import action


class ScoreParams(BaseModel):
    slope: float
    x: float


@action(params=ScoreParams)
def score(params: ScoreParams, context: Any) -> float:
    context.log_message("Scoring.")
    return params.slope * params.x
