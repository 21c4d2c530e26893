"""Combine the nodes' reports of their workers for the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from synapse_agent.runner.ray_cluster.driver.node_pool import ReadyNode
from synapse_agent.runner.ray_cluster.driver.served import ServedActions
from synapse_agent.runner.ray_cluster.errors import NodeFailed, NodeLost

_SECONDS = 10.0
_STATUSES = ("RUNNING", "STARTING", "FAILED")
"""In order of precedence: the action has the first status that one of its shares has."""


async def ask_each(nodes: Iterable[ReadyNode], method: str, *arguments: Any) -> list[tuple[ReadyNode, Any]]:
    """Call a method of each node's actor; skip nodes that are lost or silent."""

    async def ask(node: ReadyNode) -> Any:
        try:
            return await node.actor.call(method, *arguments, limit=_SECONDS)
        except (NodeLost, NodeFailed, TimeoutError):
            return None

    asked = list(nodes)
    answers = await asyncio.gather(*map(ask, asked))
    return [(node, answer) for node, answer in zip(asked, answers, strict=True) if answer is not None]


async def served_records(nodes: Iterable[ReadyNode], served: ServedActions) -> list[dict[str, Any]]:
    """Return the served actions of all nodes, those of one name combined, the oldest first."""
    shares: dict[str, list[dict[str, Any]]] = {}
    for node, records in await ask_each(nodes, "serve_applications"):
        for record in records:
            workers = [{**worker, "node_id": node.state.id} for worker in record["workers"]]
            shares.setdefault(record["name"], []).append({**record, "workers": workers})
    found = [_put_together(records, served.waiting(name)) for name, records in shares.items()]
    return sorted(found, key=lambda each: str(each["since"]))


def _put_together(records: list[dict[str, Any]], waiting: int) -> dict[str, Any]:
    first: Mapping[str, Any] = records[0]
    statuses = {record["status"] for record in records}
    return {
        **first,
        "status": next((status for status in _STATUSES if status in statuses), first["status"]),
        "workers": [worker for record in records for worker in record["workers"]],
        "calls": sum(record["calls"] for record in records),
        "waiting": waiting + sum(record["waiting"] for record in records),
        "since": min(record["since"] for record in records),
        "log": "".join(record["log"] for record in records),
        "error": next((record["error"] for record in records if record["error"]), None),
    }
