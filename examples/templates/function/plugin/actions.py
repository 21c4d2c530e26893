"""The actions of NAME: each is a function."""

from __future__ import annotations

import os
from typing import Any


def greet(name: str, context: Any, times: int = 1) -> list[str]:
    """Greet one person.

    The agent checks params by the annotations: it converts `times="3"` to 3, and refuses `times="x"`. It passes
    `context`, which is not a param.
    """
    greetings = []
    for number in range(1, times + 1):
        print("greeting", name)  # a line of the run's log
        greetings.append(f"{os.environ['GREETING']}, {name}!")
        context.set_progress(number, times)
    return greetings
