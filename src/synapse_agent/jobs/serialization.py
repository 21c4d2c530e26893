"""A job in the form of the contract."""

from __future__ import annotations

import json
from typing import Any

from synapse_agent.storage.repositories.jobs import JobRow
from synapse_agent.util.json_text import json_bytes


def job_record(row: JobRow, result: bytes | None, *, progress: str | None, events: str | None) -> bytes:
    """Serialize a job; `result` is JSON text, None omits the key. `progress` and `events` are the newest."""
    record = json_bytes({**_facts(row), "progress": _value(progress), "events": _value(events) or []})
    large = {"params": row.params or b"null", "result": result}
    parts = [b',"%b":%b' % (name.encode(), text) for name, text in large.items() if text is not None]
    return record[:-1] + b"".join(parts) + b"}"


def _facts(row: JobRow) -> dict[str, Any]:
    return {
        "job_id": row.job_id,
        "release": row.release,
        "action": row.action,
        "method": row.method,
        "status": row.status,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "error": _value(row.error),
        "status_code": row.status_code,
        "timings": _value(row.timings),
        "idempotency_key": row.idempotency_key,
        "requirements": _value(row.requirements) or [],
        "caller": _value(row.caller),
        "node": row.node,
        "attempts": row.attempts,
        **(_value(row.result_facts) or {}),
    }


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)
