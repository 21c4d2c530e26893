"""Four concurrent callers, each on its own connection, which send prepared bytes and parse nothing."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from subjects.facade import Run
from subjects.payload import ADD, ADDER_RELEASE, TOKEN

CALLERS = 4


def add(url: str) -> Run:
    """Run an action that does next to nothing."""
    address = urlsplit(url)
    connections = [socket.create_connection((address.hostname, address.port)) for _ in range(CALLERS)]
    head = (
        f"POST {ADDER_RELEASE}/run/ HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(ADD)}\r\n\r\n"
    )
    request = (head + ADD).encode()

    def some(connection: socket.socket, times: int) -> None:
        for _ in range(times):
            connection.sendall(request)
            answer = b""
            while not answer.endswith(b'{"sum":3}'):  # the body arrives after the head
                answer += connection.recv(65536)
                assert answer.startswith(b"HTTP/1.1 200 "), answer

    def run(times: int) -> None:
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(some, connections, [times // CALLERS] * CALLERS))

    return run


SCENARIOS = {"add": add}
