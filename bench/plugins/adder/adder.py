"""The least that an action can do and still be seen to have done it."""

from collections.abc import Iterator


def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


def count(values: int) -> Iterator[dict[str, int]]:
    """Yield so many values."""
    for number in range(values):
        yield {"number": number}
