"""An agent's jobs on a node wait for it, as long as its orphan limit allows."""

from __future__ import annotations

import os
import time
from pathlib import Path

from synapse_agent.runner.ray_cluster.node.left_jobs import Claim, LeftJobs

LIMIT = 60.0


def test_another_agents_ended_jobs_are_kept_for_the_orphan_limit(tmp_path: Path) -> None:
    """However old the agent's folder is, the limit counts from the end of its last job."""
    theirs = LeftJobs(tmp_path, Claim("agent-1", "node-1", frozenset({7}), LIMIT))
    os.close(theirs.lock)
    run = theirs.folder / "keepers" / "keeper-1" / "1"
    run.mkdir(parents=True)
    (run / "end").write_bytes(b"{}\n")
    long_ago = time.time() - 2 * LIMIT
    os.utime(theirs.folder, (long_ago, long_ago))
    look_from_another_agent(tmp_path)
    assert run.exists()
    os.utime(run / "end", (long_ago, long_ago))
    look_from_another_agent(tmp_path)
    assert not theirs.folder.exists()


def look_from_another_agent(folder: Path) -> None:
    os.close(LeftJobs(folder, Claim("agent-2", "node-1", frozenset(), LIMIT)).lock)
