"""The contract and its reference page, for anyone to read: they hold no secret, and the page brings its own token."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from synapse_agent.problems import Problem

FILES: Mapping[str, tuple[str, str]] = {
    "/openapi.yaml": ("openapi.yaml", "application/yaml; charset=utf-8"),
    "/openapi.json": ("openapi.json", "application/json"),
    "/docs": ("reference/index.html", "text/html; charset=utf-8"),
    "/docs/reference.css": ("reference/reference.css", "text/css; charset=utf-8"),
    "/docs/reference.js": ("reference/reference.js", "text/javascript; charset=utf-8"),
    "/docs/swagger-ui.css": ("reference/swagger-ui.css", "text/css; charset=utf-8"),
    "/docs/swagger-ui-bundle.js": ("reference/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
}
"""What is found where: a file of the generated package, and its content type."""

_HEADERS = {
    "cache-control": "no-cache",
    # The page asks this agent alone, and no other page shows it in a frame.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class ReferenceFile:
    """The file that belongs to a path, as an ASGI application."""

    def __init__(self, path: str) -> None:
        self._name, self._type = FILES[path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the file; raise `Problem` 405 where it is to be changed."""
        if scope["method"] not in ("GET", "HEAD"):
            message = f"{scope['method']} is not for this path; there is GET and HEAD."
            raise Problem(405, "method_not_allowed", message, allow=["GET", "HEAD"])
        response = Response(_content(self._name), headers=_HEADERS, media_type=self._type)
        await response(scope, receive, send)


@cache
def _content(name: str) -> bytes:
    return files("synapse_agent_api").joinpath(name).read_bytes()
