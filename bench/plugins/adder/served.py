"""The addition as a served action."""


class Adder:
    """Adds."""

    def predict(self, a: int, b: int) -> dict[str, int]:
        """Return a sum."""
        return {"sum": a + b}
