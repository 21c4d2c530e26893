"""The agent's page, the contract and its reference page, public since they contain no secret."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from synapse_agent.problems import Problem

FILES: Mapping[str, tuple[str, str]] = {
    "/": ("page/index.html", "text/html; charset=utf-8"),
    "/page/page.js": ("page/page.js", "text/javascript; charset=utf-8"),
    "/page/page.css": ("page/page.css", "text/css; charset=utf-8"),
    "/openapi.yaml": ("openapi.yaml", "application/yaml; charset=utf-8"),
    "/openapi.json": ("openapi.json", "application/json"),
    "/docs": ("reference/index.html", "text/html; charset=utf-8"),
    "/docs/reference.css": ("reference/reference.css", "text/css; charset=utf-8"),
    "/docs/reference.js": ("reference/reference.js", "text/javascript; charset=utf-8"),
    "/docs/swagger-ui.css": ("reference/swagger-ui.css", "text/css; charset=utf-8"),
    "/docs/swagger-ui-bundle.js": ("reference/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
}
"""By path: a file of the generated package, and its content type."""

_HEADERS = {
    "cache-control": "no-cache",
    # The pages load only from this agent, and other pages can't show them in a frame.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class PageFile:
    """The file for a path, as an ASGI application."""

    def __init__(self, path: str) -> None:
        self._name, self._type = FILES[path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file; raise `Problem` 405 for other methods than GET and HEAD."""
        if scope["method"] not in ("GET", "HEAD"):
            message = f"{scope['method']} is not allowed here. Allowed: GET, HEAD."
            raise Problem(405, "method_not_allowed", message, allow=["GET", "HEAD"])
        response = Response(_content(self._name), headers=_HEADERS, media_type=self._type)
        await response(scope, receive, send)


@cache
def _content(name: str) -> bytes:
    return files("synapse_agent_api").joinpath(name).read_bytes()
