"""A run that waits for its result, beside one that streams its values."""

from __future__ import annotations

from functools import partial

from subjects.ours import add

SCENARIOS = {"first_value": partial(add, requirements=())}
