"""The rows of the agent, each beside its comparison."""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.agents import agent, agent_with_release, children, empty_route, got, memory, posted
from bench.environments import HOME, Environment
from bench.rows import Row, Values
from bench.subjects.payload import ADDER_RELEASE
from bench.workers import Measure, Player, compared

SUBJECTS = ("ours", "plain_run", "as_base64", "public_run", "ray_task", "uv", "starlette")
GROUP = "agent"
"""A word that selects all of these rows."""
REST_SECONDS = 1.0
RAY_REST_SECONDS = 2.0
OBSERVED = Path(__file__).parent / "observed.py"
WARM_RUN_MICROSECONDS = 4300
RAY_TURNS = 5
"""Tasks in a row: Ray may have started the first one's process while the others were measured."""

QUEUED_JOBS = 50
CALLS = 200
MANY_JOBS = 1_000_000
_INSERT = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    INSERT INTO jobs (job_id, content, release, action, method, status, created_at, finished_at, result)
    SELECT 'job-' || n, '', 'adder@1.0.0', 'add', 'local', 'SUCCEEDED', now, now, CAST('3' AS BLOB)
    FROM numbers, (SELECT strftime('%Y-%m-%dT%H:%M:%fZ') AS now)
"""
_SLEEPS = "import time\n\ndef sleep():\n    time.sleep(60)\n"

Homes = Mapping[str, Environment]


def chosen(words: Sequence[str]) -> list[Row]:
    """Return the rows that contain one of these words, or all without words or with `agent`."""
    return [row for row in ROWS if not words or GROUP in words or any(word in row.name for word in words)]


def run(homes: Homes, _: str) -> Values:
    """Measure one run of a function at a time."""
    with agent_with_release(homes["agent"]) as ours:
        players = {
            "ours": Player(homes["client"].python, "ours", ours.url, turns=20),
            "public_run": Player(homes["public"].python, "public_run") if "public" in homes else None,
            "ray_task": Player(homes["ray"].python, "ray_task", turns=RAY_TURNS, rest=RAY_REST_SECONDS),
        }
        there = {name: player for name, player in players.items() if player is not None}
        return _medians(compared(there, "add", rounds=15), 1e3)


def throughput(homes: Homes, _: str) -> Values:
    """Measure four callers at a time."""
    with agent_with_release(homes["agent"]) as ours:
        players = {"ours": Player(homes["agent"].python, "four_callers", ours.url, times=400)}
        return _per_second(compared(players, "add", rounds=9))


def first_value(homes: Homes, _: str) -> Values:
    """Measure the first value of a generator beside the result of a run."""
    with agent_with_release(homes["agent"]) as ours:
        players = {
            "ours": Player(homes["client"].python, "ours", ours.url, turns=20),
            "plain_run": Player(homes["client"].python, "plain_run", ours.url, turns=20),
        }
        return _medians(compared(players, "first_value", rounds=15), 1e3)


def values(homes: Homes, _: str) -> Values:
    """Measure a generator that yields as fast as it can."""
    with agent_with_release(homes["agent"]) as ours:
        players = {"ours": Player(homes["client"].python, "ours", ours.url, times=2000)}
        return _per_second(compared(players, "values", rounds=9))


def first_run(scenario: str) -> Callable[[Homes, str], Values]:
    """Return the measure of a run whose environment must be made first."""

    def measure(homes: Homes, _: str) -> Values:
        with agent_with_release(homes["agent"]) as ours:
            players = {
                "ours": Player(homes["client"].python, "ours", ours.url),
                "uv": Player(homes["agent"].python, "uv"),
            }
            return _medians(compared(players, scenario, rounds=15), 1e3)

    return measure


def there_and_back(homes: Homes, _: str) -> Values:
    """Measure a file to an action and back, and the same as text in params and result."""
    with agent_with_release(homes["agent"]) as ours:
        players = {name: Player(homes["client"].python, name, ours.url) for name in ("ours", "as_base64")}
        return _medians(compared(players, "there_and_back", rounds=3), 1)


def requests(homes: Homes, _: str) -> Values:
    """Measure many requests at once."""
    python = homes["agent"].python
    with agent_with_release(homes["agent"]) as ours, empty_route(homes["agent"]) as empty:
        players = {
            "ours": Player(python, "many_connections", ours.url + ADDER_RELEASE, times=6400),
            "starlette": Player(python, "many_connections", f"{empty}/", times=6400),
        }
        return _per_second(compared(players, "get", rounds=15))


def start(homes: Homes, _: str) -> Values:
    """Measure the start of the process."""
    return {"ours": _start_seconds(homes["agent"])}


def start_with_many_jobs(homes: Homes, _: str) -> Values:
    """Measure the start of the process on a data folder with finished jobs."""
    with tempfile.TemporaryDirectory(dir=HOME, prefix="many-jobs-") as data:
        with agent(homes["agent"], "--data-dir", data):
            pass
        with closing(sqlite3.connect(Path(data, "agent.sqlite3"))) as database, database:
            database.execute(_INSERT, [MANY_JOBS])
        return {"ours": _start_seconds(homes["agent"], "--data-dir", data)}


def _start_seconds(home: Environment, *options: str) -> float:
    """Return the median of some starts without the first one, which compiles."""
    seconds = []
    for _ in range(12):
        with agent(home, *options) as started:
            seconds.append(started.started_in)
    return statistics.median(seconds[1:])


def at_rest(homes: Homes, of: Callable[[int, list[int]], float]) -> Values:
    """Measure the memory of an idle agent after some runs: `of` receives its process ID and those of its zygotes."""
    with agent_with_release(homes["agent"]) as ours:
        compared({"ours": Player(homes["agent"].python, "four_callers", ours.url, times=400)}, "add", rounds=1)
        time.sleep(REST_SECONDS)
        return {"ours": of(ours.pid, ours.keepers()) / 1e6}


def observed(what: str) -> Callable[[Homes, str], Values]:
    """Return the measure of the share of an agent's metrics, or of its log, in a warm run."""

    def measure(homes: Homes, _: str) -> Values:
        command = [homes["agent"].python, OBSERVED, what]
        seconds = [float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(3)]
        return {"ours": statistics.median(seconds) * 1e6}

    return measure


def with_spares(keeper: int) -> int:
    """Return the memory of a keeper, its zygote and its waiting processes, with shared pages counted once."""
    return sum(memory(pid, "Pss") for pid in (keeper, *descendants(keeper)))


def descendants(pid: int) -> list[int]:
    """Return the processes below a process."""
    return [each for child in children(pid) for each in (child, *descendants(child))]


def waits(homes: Homes, _: str) -> Values:
    """Measure how long calls wait for their turn while jobs of another release are queued, one after the other."""
    with agent_with_release(homes["agent"]) as ours:
        source = {"config": {"actions": {"sleep": "m:sleep"}}, "modules": {"m": _SLEEPS}, "action": "sleep"}
        for _ in range(QUEUED_JOBS):
            posted(ours.url, "/plugin_releases/run_debug/", source, {"Prefer": "respond-async"})
        ids = [f"call-{number}" for number in range(CALLS)]
        for job_id in ids:
            posted(ours.url, f"{ADDER_RELEASE}/run/", {"action": "add", "params": {"a": 1, "b": 2}, "job_id": job_id})
        waited = sorted(_waited(got(ours.url, f"/jobs/{job_id}/")) for job_id in ids)
        pending = sum(job["status"] == "PENDING" for job in got(ours.url, "/jobs/?status=PENDING"))
        assert pending >= QUEUED_JOBS - (os.cpu_count() or 1), "the jobs were over before the calls"
        return {"ours": waited[len(waited) * 99 // 100] * 1e3}


def _waited(job: Mapping[str, Any]) -> float:
    began, started = (datetime.fromisoformat(job[name]) for name in ("created_at", "started_at"))
    return (started - began).total_seconds()


def _medians(measured: Mapping[str, Sequence[Measure]], scale: float) -> Values:
    return {name: statistics.median(each.seconds for each in all_of) * scale for name, all_of in measured.items()}


def _per_second(measured: Mapping[str, Sequence[Measure]]) -> Values:
    return {name: 1 / seconds for name, seconds in _medians(measured, 1).items()}


_FIRST = {"uv": 1.3}

ROWS = [
    Row("figures of a warm run", "µs", observed("figures"), limit=0.02 * WARM_RUN_MICROSECONDS),
    Row("log of a warm run", "µs", observed("log"), limit=0.02 * WARM_RUN_MICROSECONDS),
    Row("warm run of a function over HTTP, p50", "ms", run, limit=5),
    Row("warm runs, 4 callers", "/s", throughput, limit=400, more_is_better=True),
    Row("first value of a generator", "ms", first_value, {"plain_run": 1.2}),
    Row("values of a generator", "/s", values, limit=1000, more_is_better=True),
    Row("first run with a new requirement: six", "ms", first_run("new_small"), _FIRST),
    Row("first run with new requirements: numpy, pillow", "ms", first_run("new_large"), _FIRST),
    Row("40 MB to an action and back", "s", there_and_back, {"as_base64": 0.5}),
    Row("requests over 32 connections", "/s", requests, {"starlette": 0.5}, more_is_better=True),
    Row(f"wait of a call under {QUEUED_JOBS} queued jobs, p99", "ms", waits, limit=50),
    Row("start until ready", "s", start, limit=0.5),
    Row(f"the same, {MANY_JOBS:,} finished jobs", "s", start_with_many_jobs, limit=0.6),
    Row(
        "memory of the agent at rest",
        "MB",
        lambda homes, _: at_rest(homes, lambda pid, _: memory(pid, "Rss")),
        limit=80,
    ),
    Row(
        "memory of one zygote at rest",
        "MB",
        lambda homes, _: at_rest(homes, lambda _, zygotes: max(memory(each, "Rss") for each in zygotes)),
        limit=15,
    ),
    Row(
        "the same with the processes it keeps ready",
        "MB",
        lambda homes, _: at_rest(homes, lambda _, zygotes: max(map(with_spares, zygotes))),
    ),
]
