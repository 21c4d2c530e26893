"""A run whose result is waited for, beside one whose values are streamed."""

from __future__ import annotations

from functools import partial

from subjects.ours import add

SCENARIOS = {"first_value": partial(add, requirements=())}
