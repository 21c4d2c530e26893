"""A socket and prepared bytes: the lower bound for any client."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from subjects.payload import RELEASE, TOKEN


def get(url: str) -> Callable[[int], None]:
    """Get a release."""
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port))
    request = f"GET {RELEASE} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: {TOKEN}\r\n\r\n".encode()

    def run(times: int) -> None:
        for _ in range(times):
            connection.sendall(request)
            json.loads(connection.recv(65536).partition(b"\r\n\r\n")[2])

    run(1)
    return run


SCENARIOS = {"get": get}
