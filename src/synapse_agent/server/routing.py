"""Route a request by its raw path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from synapse_agent.problems import Problem


class Routes:
    """An ASGI application that combines several, each with a path such as `/jobs/{job_id}/`.

    A parameter is one whole segment with at least one character; `path_params` in the scope has it undecoded. A path
    without parameters takes precedence.
    """

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._plain = {path: app for path, app in apps.items() if "{" not in path}
        self._patterns: dict[int, list[tuple[Sequence[str], ASGIApp]]] = {}
        for path, app in apps.items():
            if path not in self._plain:
                segments = path.split("/")
                self._patterns.setdefault(len(segments), []).append((segments, app))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or raise `Problem` 404."""
        app, scope["path_params"] = self._find(scope["path"])
        await app(scope, receive, send)

    def _find(self, path: str) -> tuple[ASGIApp, dict[str, str]]:
        app = self._plain.get(path)
        if app is not None:
            return app, {}
        sent = path.split("/")
        for segments, app in self._patterns.get(len(sent), ()):
            parameters = _match(segments, sent)
            if parameters is not None:
                return app, parameters
        raise Problem(404, "not_found", f"No operation has the path {path[:300]}. Check the slash at its end.")


def _match(segments: Sequence[str], sent: Sequence[str]) -> dict[str, str] | None:
    parameters = {}
    for wanted, found in zip(segments, sent, strict=True):
        if wanted[:1] == "{" and found:
            parameters[wanted[1:-1]] = found
        elif wanted != found:
            return None
    return parameters
