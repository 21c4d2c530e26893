"""Results as a terminal shows them."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console, RenderableType

from synapse_agent.cli.terminal import views

JOB: dict[str, Any] = {
    "job_id": "first",
    "status": "FAILED",
    "error": {"error_type": "action_stopped", "message": "The action was stopped.", "job_id": "first"},
    "status_code": 500,
    "idempotency_key": "a-key",
    "requirements": [],
    "caller": {"token": "default", "address": "127.0.0.1", "request_id": "a-request"},
    "events": [{"event": "metrics", "data": {"epoch": 1, "loss": 0.5}, "at": "2026-11-22T14:53:00.123456+00:00"}],
    "params": {},
}


def shown(renderable: RenderableType) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_a_job_shows_what_people_read() -> None:
    """Keys and IDs of requests are for programs; an event is one line, and so is a plain error."""
    text = shown(views.job(JOB))
    assert "error: action_stopped: The action was stopped." in text
    assert "caller: {token: default, address: 127.0.0.1}" in text
    assert ":00 metrics: {epoch: 1, loss: 0.5}" in text
    assert not [each for each in ("a-key", "a-request", "requirements", "params", "500") if each in text]


def test_the_whole_job_shows_all() -> None:
    """With --verbose."""
    text = shown(views.whole_job(JOB))
    assert all(each in text for each in ("a-key", "a-request", "requirements: []", "params: {}", "status_code: 500"))
    assert "error_type: action_stopped" in text


def test_a_table_and_a_file_inside_a_result() -> None:
    """A DataFrame among other values is a table, too; a reference is the name and size of its file."""
    reference = {"$file": {"id": "0" * 64, "name": "chart.png", "size": 2048, "media_type": "image/png"}}
    text = shown(views.value({"rows": [{"x": 1, "y": 2}, {"x": 3, "y": 4}], "chart": reference, "one": [{"x": 1}]}))
    assert [line[8:].split() for line in text.splitlines()[2:5]] == [["x", "y"], ["1", "2"], ["3", "4"]]
    assert "chart: chart.png  file, 2.0 KiB" in text
    assert "one: 1 item" in text


def test_a_served_action_shows_its_workers() -> None:
    """Memory is readable, the log comes last."""
    worker = {"status": "IDLE", "node_id": None, "calls": 3, "memory": 3 * 2**20}
    found = {
        "name": "m@1:predict",
        "status": "RUNNING",
        "workers": [worker],
        "calls": 3,
        "waiting": 0,
        "log": "ready\n",
    }
    lines = shown(views.served_action({**found, "since": "2026-11-22T14:53:00+00:00", "error": None})).splitlines()
    assert lines[0] == "m@1:predict  RUNNING"
    assert lines[2].split() == ["│", "IDLE", "3", "3.0", "MiB"]
    assert lines[-1].strip() == "ready"
    assert not any("error" in line for line in lines)


def test_a_backup_is_its_path() -> None:
    """And its size."""
    assert (
        shown(views.backup({"path": "/data/backup.sqlite3", "size": 2048})).strip() == "/data/backup.sqlite3  2.0 KiB"
    )
