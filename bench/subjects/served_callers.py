"""Callers of a served function, each on its own connection, which send prepared bytes and parse nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from subjects.facade import Run
from subjects.payload import TOKEN

_SUM = b'"sum":3}'
_ENDS = (_SUM, _SUM + b"\r\n0\r\n\r\n")
"""The ends of an answer with a length, and of one in chunks, as from Ray Serve."""


def callers(count: int) -> Callable[[str], Run]:
    """Return a function that opens a number of connections; the fragment of the address is the body to send."""

    def opened(url: str) -> Run:
        address = urlsplit(url)
        head = (
            f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(address.fragment)}\r\n\r\n"
        )
        request = (head + address.fragment).encode()

        def some(times: int) -> None:
            # New for each measurement: servers close connections that are idle while others are measured.
            with socket.create_connection((address.hostname, address.port)) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for _ in range(times):
                    connection.sendall(request)
                    answer = b""
                    while not answer.endswith(_ENDS):
                        part = connection.recv(65536)
                        answer += part
                        assert part, "closed"
                        assert answer.startswith(b"HTTP/1.1 200 "), answer

        def run(times: int) -> None:
            if count == 1:
                some(times)
                return
            with ThreadPoolExecutor(count) as pool:
                list(pool.map(some, [times // count] * count))

        return run

    return opened


SCENARIOS = {"1 caller": callers(1), "4 callers": callers(4), "16 callers": callers(16)}
