"""One caller's large JSON costs that caller time, and no other."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from keepers import children
from waiting import until

KEYS = 500_000
"""Parsed in the agent's event loop, they would block all other callers for most of a second on a quiet machine."""


def test_others_are_answered_while_a_large_body_is_read(serve, write_files, tmp_path):
    """This holds however long it takes; the action gets every key, and the request can be sent again."""
    config = "code: counter\nversion: 1.0.0\nactions: {count: {entrypoint: 'main:count'}}\n"
    code = "def count(**values):\n    return len(values)\n"
    plugins = write_files(tmp_path / "plugins" / "counter", {"config.yaml": config, "main.py": code}).parent
    served = serve("--plugins", str(plugins))
    headers = {"Authorization": "secret", "Content-Type": "application/json", "Idempotency-Key": "large"}
    body = json.dumps({"action": "count", "params": {f"key-{number}": number for number in range(KEYS)}}).encode()
    with (
        httpx.Client(base_url=served.base_url, trust_env=False, timeout=60, headers=headers) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        client.post("/plugin_releases/", json={"plugin": "counter", "version": "1.0.0"}).raise_for_status()
        sent = pool.submit(client.post, "/plugin_releases/counter@1.0.0/run/", content=body)
        parser = until(lambda: parser_of(served.process.pid))
        os.kill(parser, signal.SIGSTOP)
        for _ in range(20):
            assert client.get("/health/").json()["status"] == "ok"
        assert not sent.done()
        os.kill(parser, signal.SIGCONT)
        assert sent.result().json() == KEYS
        assert client.post("/plugin_releases/counter@1.0.0/run/", content=body).json() == KEYS
        assert len(client.get("/jobs/").json()) == 1


def parser_of(agent: int) -> int | None:
    """Return an agent's process that parses a body."""
    for pid in children(agent):
        if b"synapse_agent.server.parser_process" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None
