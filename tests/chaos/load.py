"""Fifty concurrent callers, and the lost, doubled, hanging and untyped calls that they saw."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ClientError, ConflictError, HTTPError, NotFoundError

CALL_SECONDS = 60.0
"""The deadline of a call."""
HANG_SECONDS = CALL_SECONDS + 30
TYPED = {
    *("unavailable", "agent_restarted", "action_stopped", "too_many_runs", "release_not_found"),
    *("action_killed", "node_lost", "cluster_unavailable", "cluster_busy", "plugin_not_found"),
}
"""The acceptable outcomes of a call."""


@dataclass
class Findings:
    """The faults found, and the number of attempts."""

    calls: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    hanging: list[str] = field(default_factory=list)
    untyped: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Count the faults found."""
        return {name: len(getattr(self, name)) for name in ("lost", "doubled", "hanging", "untyped")}


class Load:
    """Callers in threads, until they are stopped."""

    def __init__(self, base_url: str, paper: Path, *, clients: int, seed: int, jobs_last: bool) -> None:
        """`jobs_last` is whether jobs continue when the agent is killed."""
        self._jobs_last = jobs_last
        self._base_url = base_url
        self._paper = paper
        self._clients = clients
        self._seed = seed
        self._is_over = threading.Event()
        self._results: dict[str, str] = {}
        """The agent's answers to callers, by job ID."""
        self._since: dict[int, tuple[float, str]] = {}
        """When each caller's call began."""
        self.findings = Findings()

    def start(self) -> None:
        """Start calling."""
        self._threads = [
            threading.Thread(target=self._call_again_and_again, args=(number,), daemon=True)
            for number in range(self._clients)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Wait for the last calls, and report those that hang."""
        self._is_over.set()
        end = time.monotonic() + HANG_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        for number, thread in enumerate(self._threads):
            if thread.is_alive():
                self.findings.hanging.append(f"{self._since[number][1]} has not ended")

    def check(self) -> None:
        """Compare the callers' answers with the agent's records and with the actions' effects."""
        with self._client() as client:
            for job_id, result in self._results.items():
                try:
                    job = client.get_job(job_id)
                except NotFoundError:
                    self.findings.lost.append(f"{job_id} is gone")
                else:
                    if (job["status"], job.get("result")) != ("SUCCEEDED", result):
                        self.findings.lost.append(f"{job_id} is {job['status']}, {job.get('error')}")
            self._wait_for_the_rest(client)
            if self._jobs_last:
                self._find_ended_jobs(client)
        lines = Counter(self._paper.read_text().split())
        self.findings.doubled += [line for line, count in lines.items() if count > 1]

    def _find_ended_jobs(self, client: AgentClient) -> None:
        """Find the jobs that had started, and ended with an agent that was killed."""
        for job in client.list_jobs(status="FAILED", action="write_in_background", limit=1000):
            if job["started_at"] and (job.get("error") or {}).get("error_type") == "agent_restarted":
                self.findings.lost.append(f"{job['job_id']} ended with its agent")

    def _wait_for_the_rest(self, client: AgentClient) -> None:
        """Wait until every job has ended, including those whose callers left."""
        end = time.monotonic() + HANG_SECONDS
        while left := [job["job_id"] for status in ("PENDING", "RUNNING") for job in client.list_jobs(status=status)]:
            if time.monotonic() > end:
                self.findings.hanging += [f"{job_id} is not over" for job_id in left]
                return
            time.sleep(0.1)

    def _client(self) -> AgentClient:
        return AgentClient(self._base_url, "chaos", max_retries=3, timeout=(5, CALL_SECONDS))

    def _call_again_and_again(self, number: int) -> None:
        draw = random.Random(f"{self._seed} {number}")
        with self._client() as client:
            while not self._is_over.is_set():
                name, call = draw.choice(CALLS)
                self._since[number] = (time.monotonic(), name)
                self.findings.calls[name] += 1
                try:
                    call(self, client, draw)
                except ClientError as error:
                    self._judge(name, error)
                except Exception as error:  # noqa: BLE001 - any error is a finding
                    self.findings.untyped.append(f"{name}: {error!r}")
                seconds = time.monotonic() - self._since[number][0]
                if seconds > HANG_SECONDS:
                    self.findings.hanging.append(f"{name} took {seconds:.0f} s")
                self._is_over.wait(draw.uniform(0, 0.2))

    def _judge(self, name: str, error: ClientError) -> None:
        """Count an error as acceptable, untyped, or the loss of a result."""
        if isinstance(error, HTTPError) and error.error_type == "result_not_kept":
            self.findings.lost.append(f"{name}: {error}")
        elif isinstance(error, HTTPError) and error.error_type not in TYPED and not isinstance(error, ConflictError):
            self.findings.untyped.append(f"{name}: {error.status_code} {error.error_type}: {error}")
        else:
            kind = error.error_type if isinstance(error, HTTPError) else type(error).__name__
            self.findings.calls[f"{name}: {kind}"] += 1

    def _line(self, **more: Any) -> dict[str, Any]:
        return {"path": str(self._paper), "line": uuid.uuid4().hex, **more}

    def _run(self, client: AgentClient, draw: random.Random) -> None:
        params = self._line(size=draw.choice([0, 10, 200_000]), shout=draw.choice([0, 1, 2000]))
        result = client.run_plugin_release("pen@1.0.0", "write", params=params, job_id=params["line"])
        self._keep(params, result)

    def _job(self, client: AgentClient, draw: random.Random) -> None:
        params = self._line(seconds=draw.uniform(0, 1))
        client.run_plugin_release("pen@1.0.0", "write_in_background", params=params, job_id=params["line"])
        if draw.random() < 0.5:
            for _ in client.tail_job_logs(params["line"]):
                pass
        self._keep(params, client.wait_for_job(params["line"], deadline=CALL_SECONDS))

    def _stop(self, client: AgentClient, draw: random.Random) -> None:
        params = self._line(seconds=100)
        client.run_plugin_release("pen@1.0.0", "write_in_background", params=params, job_id=params["line"])
        time.sleep(draw.uniform(0, 0.5))
        job = client.stop_job(params["line"])
        if job["status"] not in ("STOPPED", "FAILED"):
            self.findings.hanging.append(f"{params['line']} was stopped and is {job['status']}")

    def _look(self, client: AgentClient, draw: random.Random) -> None:
        client.health_check()
        client.list_jobs(status=draw.choice(["RUNNING", "SUCCEEDED", "FAILED"]), limit=50)

    def _release(self, client: AgentClient, draw: random.Random) -> None:
        client.create_plugin_release("spare", "1.0.0")
        if draw.random() < 0.5:
            client.delete_plugin_release("spare@1.0.0")

    def _keep(self, params: dict[str, Any], result: Any) -> None:
        expected = params["line"] + "x" * params.get("size", 0)
        if result != expected:
            self.findings.lost.append(f"{params['line']} gave {str(result)[:100]}")
        self._results[params["line"]] = expected


Call = Callable[[Load, AgentClient, random.Random], None]
CALLS: list[tuple[str, Call]] = [
    (method.__name__.strip("_"), method)
    for method in (Load._run, Load._run, Load._run, Load._job, Load._job, Load._stop, Load._look, Load._release)
]


def report(findings: Findings, names: Iterable[str] = ("lost", "doubled", "hanging", "untyped")) -> str:
    """Write a report: the attempts, their outcomes, and the faults."""
    lines = [
        f"faults: {dict(sorted(findings.faults.items()))}",
        f"calls: {dict(sorted(findings.calls.items()))}",
        *(f"{name}: {each}" for name in names for each in getattr(findings, name)[:10]),
        ", ".join(f"{name} {count}" for name, count in findings.counts().items()),
    ]
    return "\n".join(lines)
