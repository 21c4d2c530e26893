"""The least that an action can do and still be seen to have done it."""


def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}
