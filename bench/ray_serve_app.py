"""Ray Serve with the function that all measured servers serve: `ray_serve_app.py PORT`."""

from __future__ import annotations

import sys
import time
from typing import Any

import ray
from ray import serve


@serve.deployment
class Adder:
    """Adds."""

    async def __call__(self, request: Any) -> dict[str, int]:
        """Return a sum."""
        numbers = await request.json()
        return {"sum": numbers["a"] + numbers["b"]}


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Adder.bind(), route_prefix="/")
    while True:
        time.sleep(1)
