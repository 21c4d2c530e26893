"""A Ray task, each in a process that no task has used before, on a cluster of this process's own."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile

from subjects.facade import Run, repeat

# Before Ray is imported, because it reads the environment then, and a handler that is registered earlier runs after Ray
# has ended its cluster. The path is short, since the paths of Ray's sockets must be.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
FOLDER = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def add(_: str) -> Run:
    """Run a function that does next to nothing, on a cluster of two cores that ends with this process."""
    import ray

    ray.init(
        address="local",  # never a running one
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100_000_000,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address="127.0.0.1",
        _temp_dir=FOLDER,
    )
    seen: set[int] = set()
    task = ray.remote(max_calls=1)(lambda a, b: (os.getpid(), a + b))

    def call() -> None:
        process, result = ray.get(task.remote(1, 2))
        assert result == 3
        assert process not in seen, "a process that was used before"
        seen.add(process)

    return repeat(call)


SCENARIOS = {"add": add}
