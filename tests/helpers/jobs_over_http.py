"""Runs and their records over plain HTTP."""

from __future__ import annotations

from typing import Any

import httpx


def run(http: httpx.Client, release: str, action: str, **body: Any) -> httpx.Response:
    """Run an action, with a POST to a release's path."""
    return http.post(f"{release}/run/", json={"action": action, **body})


def job(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """Return a job's record; the ID goes into the path unchanged."""
    record: dict[str, Any] = http.get(f"/jobs/{job_id}/").raise_for_status().json()
    return record
