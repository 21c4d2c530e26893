"""Actions that do next to nothing, but have a result to check; and actions that return a file or a text."""

from collections.abc import Iterator
from typing import Any


def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


def count(values: int) -> Iterator[dict[str, int]]:
    """Yield a number of values."""
    for number in range(values):
        yield {"number": number}


def file_back(file: str, context: Any) -> Any:
    """Write the input to a file."""
    import shutil

    return shutil.copyfile(file, context.outputs / "back.bin")


def text_back(text: str) -> str:
    """Return the text, decoded and encoded as in an action."""
    import base64

    return base64.b64encode(base64.b64decode(text)).decode()
