"""A Ray cluster on this machine, of a node or two, for the demo, the tests and the benchmarks.

`python examples/local_cluster.py --nodes 2` starts one, prints its address, and ends it when standard input ends.
Programs use `LocalCluster`, which does the same in a separate process: if that is killed, the cluster ends, too.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

STORE_BYTES = 150_000_000
"""The size of each node's object store: the smallest that works."""
END_SECONDS = 30.0


class LocalCluster:
    """A cluster on loopback with its own token; it exists while the `with` block runs."""

    def __init__(
        self,
        nodes: int = 1,
        *,
        cpus: int = 2,
        gpus: int = 0,
        env: Mapping[str, str] | None = None,
        port: int = 0,
        token: str = "",
        dashboard: bool = False,
    ) -> None:
        """Prepare a cluster whose head listens on `port`, or on a free one; all nodes have the variables `env`."""
        self._nodes = nodes
        self._env = dict(env or {})
        self._head = {"port": port, "dashboard": dashboard}
        self._resources = {"cpus": cpus, "gpus": gpus}
        self.environ = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token or secrets.token_hex(32)}
        """The environment variables that a process needs to join."""
        self.address = ""
        self.dashboard = ""
        """The address of its dashboard, if it has one; Ray's jobs need it."""
        self.pids: set[int] = set()
        """The processes that Ray has started for its nodes."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # Ray's sockets need a short path. A dashboard may still write to the folder while it ends.
            folder = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True)
            self.folder = Path(stack.enter_context(folder))
            (self.folder / "ray").mkdir()
            # Ray stores a cluster's address in TMPDIR, and a bare `ray.init()` uses it even years later.
            environ = {**os.environ, **self.environ, "RAY_USAGE_STATS_ENABLED": "0", "TMPDIR": str(self.folder)}
            with (self.folder / "cluster.log").open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, __file__, "--commands", "--folder", self.folder],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=environ,
                    start_new_session=True,  # so that Ctrl-C reaches only the program, which then ends the cluster
                )
            stack.callback(self._end)
            for _ in range(self._nodes):
                self.add_node(**self._resources)
            self._undo = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._undo.close()

    def add_node(self, *, cpus: int = 2, gpus: int = 0, env: Mapping[str, str] | None = None) -> int:
        """Add a node and return its number; the first is the cluster's head."""
        answer = self._ask(do="add", cpus=cpus, gpus=gpus, env={**self._env, **(env or {})}, **self._head)
        self.address, self.dashboard = answer["address"], answer["dashboard"]
        self.pids.update(answer["pids"])
        number: int = answer["node"]
        return number

    def kill_node(self, number: int) -> None:
        """Kill all processes of a node at once, as when its host loses power."""
        self._ask(do="kill", node=number)

    def _ask(self, **command: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps(command), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())
        except ValueError as error:
            raise RuntimeError(f"The cluster has ended: {(self.folder / 'cluster.log').read_text()[-2000:]}") from error

    def _end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Nodes:
    """The nodes, in the process that started them; they end with it."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self._folder = folder
        self._cluster = Cluster()
        self._nodes: dict[int, Any] = {}

    def add(self, *, cpus: int, gpus: int, env: Mapping[str, str], port: int, dashboard: bool) -> dict[str, Any]:
        """Add a node with its own address on loopback, and return its number, address and processes."""
        number = len(self._nodes)
        earlier = set(descendants(os.getpid()))
        ours = dict(os.environ)
        os.environ.update({"SYNAPSE_NODE_DIR": str(self._folder / f"node-{number}"), **env})  # inherited by the node
        head = {"gcs_server_port": port or None, "include_dashboard": dashboard} if number == 0 else {}
        self._nodes[number] = self._cluster.add_node(
            node_ip_address=f"127.0.0.{number + 2}",
            num_cpus=cpus,
            num_gpus=gpus,
            object_store_memory=STORE_BYTES,
            temp_dir=str(self._folder / f"ray-{number}"),
            include_log_monitor=False,
            **head,
        )
        os.environ.clear()
        os.environ.update(ours)
        pids = set(descendants(os.getpid())) - earlier
        dashboard_url = f"http://{self._cluster.webui_url}" if dashboard else ""
        return {"node": number, "address": self._cluster.address, "dashboard": dashboard_url, "pids": sorted(pids)}

    def kill(self, node: int) -> dict[str, Any]:
        """Kill all processes of a node at once."""
        started = [info.process.pid for infos in self._nodes[node].all_processes.values() for info in infos]
        for pid in {each for root in started for each in (root, *descendants(root))}:
            with suppress(ProcessLookupError):  # it may have ended with its parent
                os.kill(pid, signal.SIGKILL)
        return {}

    def end(self) -> None:
        """End the cluster."""
        self._cluster.shutdown()


def descendants(root: int) -> list[int]:
    """List the descendants of a process."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
        children.setdefault(parent, []).append(int(status.parent.name))
    found = list(children.get(root, []))
    for pid in found:
        found += children.get(pid, [])
    return found


def main() -> None:
    """Start a cluster and serve it until standard input ends."""
    parser = argparse.ArgumentParser(description="Run a Ray cluster on this machine until standard input ends.")
    parser.add_argument("--nodes", type=int, default=1, help="number of nodes")
    parser.add_argument("--folder", type=Path, help="folder for the files of Ray and of the nodes")
    parser.add_argument("--commands", action="store_true", help="read commands as JSON from standard input")
    options = parser.parse_args()
    if not options.commands:
        with LocalCluster(options.nodes) as cluster:
            print(cluster.address, *(f"{name}={value}" for name, value in cluster.environ.items()), flush=True)
            sys.stdin.read()
        return
    nodes = Nodes(options.folder)
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(getattr(nodes, command.pop("do"))(**command)), flush=True)
    nodes.end()


if __name__ == "__main__":
    main()
