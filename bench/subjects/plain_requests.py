"""requests, with a session."""

from __future__ import annotations

from collections.abc import Callable

import requests
from subjects.payload import RELEASE, TOKEN


def get(url: str) -> Callable[[int], None]:
    """Get a release."""
    session, address = requests.Session(), url + RELEASE
    session.headers["Authorization"] = TOKEN
    session.get(address).json()

    def run(times: int) -> None:
        for _ in range(times):
            session.get(address).json()

    return run


SCENARIOS = {"get": get}
