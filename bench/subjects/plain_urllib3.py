"""urllib3, the base of requests, with its own pools."""

from __future__ import annotations

from collections.abc import Callable

import urllib3
from subjects.payload import RELEASE, TOKEN


def get(url: str) -> Callable[[int], None]:
    """Get a release."""
    pool, address = urllib3.PoolManager(headers={"Authorization": TOKEN}), url + RELEASE

    def run(times: int) -> None:
        for _ in range(times):
            pool.request("GET", address).json()

    run(1)
    return run


SCENARIOS = {"get": get}
