"""The standard library's client."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection
from urllib.parse import urlsplit

from subjects.payload import RELEASE, TOKEN


def get(url: str) -> Callable[[int], None]:
    """Get a release."""
    connection = HTTPConnection(urlsplit(url).netloc)

    def run(times: int) -> None:
        for _ in range(times):
            connection.request("GET", RELEASE, headers={"Authorization": TOKEN})
            json.loads(connection.getresponse().read())

    run(1)
    return run


SCENARIOS = {"get": get}
