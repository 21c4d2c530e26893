"""A disk that rejects writes while the agent runs."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from waiting import until

from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ServerError

WAIT = """
import os, time

def wait(path, size=1):
    while not os.path.exists(path):
        time.sleep(0.01)
    return "x" * size
"""
SLOW = "code: slow\nversion: 1.0.0\nactions: {wait: {entrypoint: 'main:wait', method: job}}\n"


@pytest.fixture
def slow(write_files, tmp_path) -> Path:
    """A folder with a plugin whose action waits for a file."""
    return write_files(tmp_path / "plugins" / "slow", {"config.yaml": SLOW, "main.py": WAIT}).parent


@pytest.mark.parametrize("most", [30_000, 0], ids=["database", "everything"])
def test_an_end_that_the_disk_refuses_is_reported_and_kept(serve, slow, tmp_path, most):
    """Writes to the database, or to all files, fail with EFBIG: the result is returned, and survives a restart."""
    served = serve("--plugins", str(slow))
    with AgentClient(served.base_url, "secret", max_retries=0) as client:
        client.create_plugin_release("slow", "1.0.0")
        client.run_plugin_release("slow@1.0.0", "wait", params={"path": str(tmp_path / "go")}, job_id="late")
        until(lambda: client.get_job("late")["status"] == "RUNNING")
        for number in range(40):  # until the database's log is longer than the limit
            client.run_debug_plugin_release("go", modules={"m": f"def go(): return {number}"}, config=CONFIG)
        limits = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (most, limits[1]))
        (tmp_path / "go").touch()
        assert client.wait_for_job("late", deadline=20) == "x"
        assert client.stop_job("late")["status"] == "SUCCEEDED"
        assert [job["job_id"] for job in client.list_jobs(status="RUNNING")] == []
        assert "late" in [job["job_id"] for job in client.list_jobs(status="SUCCEEDED")]
        with pytest.raises(ServerError) as refused:
            client.run_plugin_release("slow@1.0.0", "wait", params={"path": str(tmp_path / "go")})
        assert (refused.value.status_code, refused.value.error_type) == (503, "unavailable")
        if not most:
            resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, limits)
            until(lambda: client.run_plugin_release("slow@1.0.0", "wait", params={"path": str(tmp_path / "go")}))
    served.process.kill()
    served.process.wait()
    again = serve("--plugins", str(slow), data=served.data)
    with AgentClient(again.base_url, "secret") as client:
        assert client.get_job("late")["result"] == "x"


CONFIG = {"actions": {"go": {"entrypoint": "m:go"}}}
