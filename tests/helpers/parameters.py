"""Parameters of tests, of which a normal run uses only some."""

from __future__ import annotations

from typing import Any

import pytest


def parameter(value: Any, *, is_long: bool, name: str | None = None) -> Any:
    """Return a parameter; only `make long` uses a long one."""
    return pytest.param(value, id=name, marks=[pytest.mark.long] if is_long else [])
