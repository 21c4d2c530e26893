"""An empty Starlette route on the server that the agent has: uvicorn with uvloop and httptools. Prints its port."""

from __future__ import annotations

import socket

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def empty(_request: Request) -> Response:
    """Send an empty response."""
    return Response()


def main() -> None:
    """Serve on a free port until the process is ended."""
    config = uvicorn.Config(
        Starlette(routes=[Route("/", empty)]),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        uvloop.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
