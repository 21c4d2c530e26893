"""A release as a database row, and in the form of the contract."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from synapse_agent.plugins.config import PluginConfig
from synapse_agent.storage.repositories.releases import NewRelease, ReleaseRow
from synapse_agent.util.times import now


def new_release(config: PluginConfig, digest: str) -> NewRelease:
    """Return a release's row, from its `config.yaml` and the digest of its content."""
    actions = [
        {"name": each.name, "method": each.method, "description": each.description} for each in config.actions.values()
    ]
    return NewRelease(
        plugin=config.code,
        version=config.version,
        name=config.name,
        category=_text(config.raw.get("category")),
        description=_text(config.raw.get("description")),
        actions=json.dumps(actions),
        digest=digest,
        created_at=now(),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def release_record(row: ReleaseRow, warnings: Sequence[str], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Return a release in the form of the contract, without keys that the plugin omits."""
    actions = json.loads(row.actions)
    for action in actions:
        if action["name"] in schemas:
            action["params_schema"] = schemas[action["name"]]
    record = {
        "id": row.id,
        "plugin": row.plugin,
        "version": row.version,
        "name": row.name,
        "category": row.category,
        "description": row.description,
        "actions": actions,
        "digest": row.digest,
        "created_at": row.created_at,
        "warnings": list(warnings) or None,
    }
    return {name: value for name, value in record.items() if value is not None}
