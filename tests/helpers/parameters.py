"""Parameters of tests of which only some are used in every run."""

from __future__ import annotations

from typing import Any

import pytest


def parameter(value: Any, *, is_long: bool, name: str | None = None) -> Any:
    """Return a parameter; a long one is for `make long`."""
    return pytest.param(value, id=name, marks=[pytest.mark.long] if is_long else [])
