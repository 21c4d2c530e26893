"""Runs on a Ray cluster, beside the local runner and beside Ray's own functions."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.local_cluster import LocalCluster

from bench.rows import Row, Values
from synapse_sdk.clients.agent import AgentClient

PLUGINS = Path(__file__).parent / "plugins"
SUBJECTS = ("ours", "local", "ray_task", "ray_job")
ROUNDS = 12
TIMES = 20
"""Runs in each round; a task and a job take a second, and run once."""
WARM = 3
REST_SECONDS = 2.0
CALLERS = 8
RUNS = 400

Call = Callable[[], Any]


@dataclass(frozen=True)
class Subjects:
    """Ways to call the same function."""

    ours: Call
    local: Call
    ray_task: Call
    ray_job: Call
    cluster: LocalCluster


def measured(wanted: list[str]) -> list[tuple[Row, Values]]:
    """Measure the rows whose names contain one of these words, or all without words."""
    names = [name for name in ROWS if not wanted or any(word in name for word in wanted)]
    if not names:
        return []
    with subjects() as all_of:
        return [(row, row.measure({}, "")) for name in names for row in told(name)(all_of)]


def told(name: str) -> Callable[[Subjects], list[Row]]:
    """Print that rows are being measured, and return the function that measures them."""
    print(f"{name} …", file=sys.stderr, flush=True)
    return ROWS[name]


@contextmanager
def subjects() -> Iterator[Subjects]:
    """Start a cluster of one node, an agent on it, and an agent with the local runner."""
    with ExitStack() as stack:
        cluster = stack.enter_context(LocalCluster(1, dashboard=True))
        os.environ.update(cluster.environ)
        ours = stack.enter_context(calling("--runner", "ray", "--ray-address", cluster.address))
        local = stack.enter_context(calling())
        task, job = stack.enter_context(ray_itself(cluster))
        yield Subjects(ours, local, task, job, cluster)


@contextmanager
def calling(*options: str) -> Iterator[Call]:
    """Start an agent and yield a warm call of a function through it."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as data,
        serving(data, *options) as url,
        AgentClient(url) as client,
    ):
        client.create_plugin_release("adder", "1.0.0")

        def call() -> Any:
            return client.run_plugin_release("adder@1.0.0", "add", params={"a": 1, "b": 2})

        for _ in range(20):
            call()
        yield call


@contextmanager
def serving(data: str, *options: str) -> Iterator[str]:
    """Start an agent as a separate process, yield its address, and end it."""
    always = ["--plugins", str(PLUGINS), "--data-dir", data, "--port", "0", "--no-token"]
    command = [sys.executable, "-m", "synapse_agent", "serve", *always, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().removeprefix("ready ").strip()
        finally:
            process.terminate()


@contextmanager
def ray_itself(cluster: LocalCluster) -> Iterator[tuple[Call, Call]]:
    """Yield a Ray task with its own process, and a Ray job; both do as little as possible."""
    import ray
    from ray.job_submission import JobSubmissionClient

    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        task = ray.remote(max_calls=1)(lambda: None)
        jobs = JobSubmissionClient(cluster.dashboard)

        def job() -> None:
            name = jobs.submit_job(entrypoint="true")
            while not jobs.get_job_status(name).is_terminal():
                time.sleep(0.01)

        yield lambda: ray.get(task.remote()), job
    finally:
        ray.shutdown()  # otherwise Ray ends this process a minute after its cluster


def latency(all_of: Subjects) -> list[Row]:
    """Measure one run at a time, each way in turn.

    What Ray starts for a task or a job, and ends after it, keeps the machine busy for a while: other runs wait.
    """
    seconds: dict[str, list[float]] = {name: [] for name in SUBJECTS}
    for _ in range(ROUNDS):
        for name in ("ray_task", "ray_job"):
            seconds[name].append(timed(getattr(all_of, name)))
            time.sleep(REST_SECONDS)
        for call in (all_of.ours, all_of.local) * WARM:
            call()
        for name in ("ours", "local") * TIMES:
            seconds[name].append(timed(getattr(all_of, name)))
    medians = {name: statistics.median(values) * 1e3 for name, values in seconds.items()}
    added = {"ours": medians["ours"] - medians["local"]}
    return [
        Row("warm run of a function over HTTP, p50", "ms", _known(medians), {"ray_task": 0.1}),
        Row("what the cluster adds to the local run", "ms", _known(added), limit=10),
    ]


def throughput(all_of: Subjects) -> list[Row]:
    """Measure many runs at once, on one node and on two."""
    one = {"ours": per_second(all_of.ours), "local": per_second(all_of.local)}
    all_of.cluster.add_node()
    time.sleep(5)  # until its actor is there
    per_second(all_of.ours)  # and warm
    two = {"ours": per_second(all_of.ours)}
    name = f"warm runs, {CALLERS} callers, one node of 2 CPUs"
    return [
        Row(name, "/s", _known(one), more_is_better=True),
        Row("the same, two nodes on the same machine", "/s", _known(two), more_is_better=True),
    ]


def timed(call: Call) -> float:
    """Return the duration of a call in seconds."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def per_second(call: Call) -> float:
    """Return how many calls are answered in a second."""
    started = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda _: call(), range(RUNS)))
    return RUNS / (time.perf_counter() - started)


def _known(values: Values) -> Callable[..., Values]:
    """Return the measure of a row that was measured together with others."""
    return lambda *_: values


ROWS = {"cluster: one run": latency, "cluster: runs per second": throughput}
