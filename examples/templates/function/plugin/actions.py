"""The actions of NAME: each is a function."""

from __future__ import annotations

import os
from typing import Any


def greet(name: str, context: Any, times: int = 1) -> list[str]:
    """Greet one person.

    The agent checks params against the annotations: `times="3"` is 3, and `times="x"` is refused. `context` comes
    from the agent; it is not a param.
    """
    greetings = []
    for number in range(1, times + 1):
        print("greeting", name)  # a line of the run's log
        greetings.append(f"{os.environ['GREETING']}, {name}!")
        context.set_progress(number, times)
    return greetings
