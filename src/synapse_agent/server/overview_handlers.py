"""The handlers that show the agent's state: readiness, environments, storage, statistics."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from synapse_agent.agent import Agent
from synapse_agent.observe.observer import Observer
from synapse_agent.problems import Problem
from synapse_agent.server.requests import OperationRequest
from synapse_agent.server.responses import json_answer
from synapse_agent.util.json_text import json_bytes

METRICS_PATH = "/metrics"


async def check_readiness(agent: Agent, _request: OperationRequest) -> Response:
    """Return that the agent accepts runs, or raise why not."""
    refusal = agent.jobs.refusal() or agent.runner_refusal()
    if refusal is not None:
        raise Problem(503, refusal.error_type if refusal.status == 503 else "unavailable", refusal.message)
    return json_answer(json_bytes({"status": "ok"}))


async def list_environments(agent: Agent, _request: OperationRequest) -> Response:
    """List the environments of this machine, the most recently used first."""
    found = sorted((await agent.observer.storage.look()).environments, key=lambda each: -each.last_used)
    return json_answer(json_bytes([each.record() for each in found]))


async def get_storage(agent: Agent, _request: OperationRequest) -> Response:
    """Return how the disk is used."""
    report = await agent.observer.storage.look()
    stores = [{"name": name, "size": size} for name, size in sorted(report.stores.items())]
    facts = {"collected_at": report.collected_at, "disk_total": report.total, "disk_free": report.free}
    return json_answer(json_bytes({"data_dir": str(agent.folder.root), **facts, "stores": stores}))


class MetricsPage:
    """The metrics as an ASGI application."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the metrics; raise `Problem` 405 for other methods than GET and HEAD."""
        if scope["method"] not in ("GET", "HEAD"):
            message = f"{scope['method']} is not allowed here. Allowed: GET, HEAD."
            raise Problem(405, "method_not_allowed", message, allow=["GET", "HEAD"])
        from synapse_agent.observe.exposition import (
            CONTENT_TYPE,
            exposition,
        )  # slow to load, and many agents have no scraper

        response = Response(exposition(self._observer.metrics), headers={"content-type": CONTENT_TYPE})
        await response(scope, receive, send)
