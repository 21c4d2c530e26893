"""LitServe with the function that all measured servers serve: `litserve_app.py PORT`."""

from __future__ import annotations

import sys
from typing import Any

import litserve


class Adder(litserve.LitAPI):
    """Adds."""

    def setup(self, device: str) -> None:
        """Load nothing."""

    def predict(self, numbers: dict[str, Any]) -> dict[str, int]:
        """Return a sum."""
        return {"sum": numbers["a"] + numbers["b"]}


if __name__ == "__main__":
    litserve.LitServer(Adder(), accelerator="cpu").run(
        port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False, log_level="warning"
    )
