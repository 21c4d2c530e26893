"""The action `process`."""

from __future__ import annotations

from typing import Any

from my_plugin.processor import Processor


def process(input: str) -> Any:
    """Return the result of the `Processor` for a text.

    A debug run can replace it: `modules={"my_plugin.processor": "class Processor: ..."}`.
    """
    if not isinstance(input, str):
        raise TypeError(f"input must be text, not {input!r}")
    return Processor().process(input)
