"""The action `validate`."""

from __future__ import annotations

from typing import Any

KNOWN = {"car", "tree"}


class Validator:
    """Checks labels, ignoring case unless strict."""

    def __init__(self, **kwargs: Any) -> None:
        self.strict_mode = kwargs.get("strict_mode", False)

    def validate(self, data: Any) -> dict[str, Any]:
        """Return the unknown labels in `data`."""
        labels = data if self.strict_mode else [label.lower() for label in data]
        errors = [f"unknown label: {label}" for label in labels if label not in KNOWN]
        return {"valid": not errors, "errors": errors}
