"""An agent as a process that is killed and started again on the same data folder, with a plugin of long jobs."""

from __future__ import annotations

import glob
import json
import os
import signal
import socket
import subprocess
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from forked import PROGRAM, Command, run
from keepers import is_alive, keepers, spec_of
from waiting import until

CONFIG = """
code: long
version: 1.0.0
actions:
  work: {entrypoint: "long:work", method: job}
  waited: {entrypoint: "long:work", method: local}
"""
CODE = """
import os
import time
from pathlib import Path


def work(params, context):
    folder, steps = Path(params["folder"]), 0
    (folder / "gpus").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    with open(folder / "begun", "a") as begun:  # the last: tests read the other file as soon as this one exists
        begun.write("once\\n")
    while not (folder / "go").exists() or steps < params.get("least", 0):
        steps += 1
        print("step", steps, flush=True)
        context.set_progress(steps, None)
        context.log("step", {"number": steps})
        time.sleep(0.005)
    Path(os.environ["SYNAPSE_OUTPUT_DIR"], "left.txt").write_text(f"{steps} steps")
    return {"steps": steps}
"""


def expected_log(steps: int) -> list[str]:
    """Return the log of a job after this many steps."""
    return [f"step {number}" for number in range(1, steps + 1)]


@dataclass
class LongAgent:
    """The agent, its folder, and what persists across its restarts."""

    root: Path
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = (*PROGRAM, "serve")
    process: subprocess.Popen[str] | None = None
    at: Path | None = None
    """Its data folder, if that is not in `root`."""
    environ: Mapping[str, str] = field(default_factory=dict)
    keeping: Path | None = None
    """The folder with the keepers of its runs; by default its data folder."""
    _port: int = 0
    http: httpx.Client = field(default_factory=httpx.Client)

    @property
    def port(self) -> int:
        """A port that is the same after each restart; it was free when it was chosen."""
        if not self._port:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._port = free.getsockname()[1]
        return self._port

    def __post_init__(self) -> None:
        self.data = self.at or self.root / "data"
        self.work, plugin = self.root / "work", self.root / "plugins" / "long"
        self.work.mkdir()
        plugin.mkdir(parents=True)
        (plugin / "config.yaml").write_text(CONFIG)
        (plugin / "long.py").write_text(textwrap.dedent(CODE))

    def launch(self, *options: str) -> subprocess.Popen[str]:
        """Start its process without waiting for it."""
        command = [*self.command, "--plugins", str(self.root / "plugins"), "--data-dir", str(self.data)]
        command += ["--no-token", "--allow-write", str(self.work), *self.options, *options]
        command += [] if "--port" in options else ["--port", "0"]
        command += [] if "--max-concurrent-runs" in options else ["--max-concurrent-runs", "5"]
        inherited = {name: value for name, value in os.environ.items() if name != "SYNAPSE_AGENT_STOP_RUNS"}
        env = {**inherited, **self.environ}
        with (self.root / "stderr").open("a") as stderr:
            self.process = Command(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=env)
        return self.process

    def start(self, *options: str) -> LongAgent:
        """Start it, wait until it takes requests, and cache the release."""
        self.process = self.launch(*options)
        assert self.process.stdout
        base_url = self.process.stdout.readline().removeprefix("ready ").strip()
        assert base_url.startswith("http://"), self.log()
        self.http.close()
        self.http = httpx.Client(base_url=base_url, timeout=60, trust_env=False)
        release = {"plugin": "long", "version": "1.0.0"}
        assert self.http.post("/plugin_releases/", json=release).status_code in (200, 201)
        return self

    def log(self) -> str:
        """Return what the agents have logged."""
        return (self.root / "stderr").read_text()

    def run(self, job_id: str, *, key: str | None = None, action: str = "work", **params: Any) -> httpx.Response:
        """Start a job with its own folder for files, and wait until it runs."""
        folder = self.work / job_id
        folder.mkdir(exist_ok=True)
        body = {"action": action, "params": {"folder": str(folder), **params}, "job_id": job_id}
        headers = {"Prefer": "respond-async", **({"Idempotency-Key": key} if key else {})}
        answer = self.http.post("/plugin_releases/long@1.0.0/run/", json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        until((folder / "begun").exists)
        return answer

    def let_end(self, job_id: str) -> None:
        """Make a job end."""
        (self.work / job_id / "go").touch()

    def job(self, job_id: str) -> Any:
        """Return a job's record."""
        return self.http.get(f"/jobs/{job_id}/").raise_for_status().json()

    def over(self, job_id: str) -> Any:
        """Wait for a job's end, and return its record."""
        until(lambda: self.job(job_id)["status"] not in ("PENDING", "RUNNING"))
        return self.job(job_id)

    def whole(self, job_id: str) -> Any:
        """Wait for a job's end, check that it ran once and that nothing is missing, and return its record."""
        record = self.over(job_id)
        assert record["status"] == "SUCCEEDED", record
        steps = record["result"]["steps"]
        assert self.lines(job_id) == expected_log(steps), job_id
        assert record["progress"]["current"] == steps
        assert [event["data"]["number"] for event in record["events"]] == list(range(max(1, steps - 19), steps + 1))
        assert (self.work / job_id / "begun").read_text() == "once\n", job_id
        assert [file["name"] for file in self.http.get(f"/jobs/{job_id}/files/").json()] == ["left.txt"]
        return record

    def gpus(self, job_id: str) -> str:
        """Return the GPUs that a job saw."""
        return (self.work / job_id / "gpus").read_text()

    def lines(self, job_id: str) -> list[str]:
        """Return the log of a job."""
        return self.http.get(f"/jobs/{job_id}/logs/").text.splitlines()

    def command_line(self, *arguments: str) -> Any:
        """Return the JSON output of a command, ignoring its exit status."""
        return json.loads(run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False).stdout)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the agent alone, by a signal."""
        assert self.process
        self.process.send_signal(number)
        self.process.communicate(timeout=60)

    def keepers(self) -> list[int]:
        """List the running keepers of its jobs; those of calls end shortly after the agent."""
        return [pid for pid in keepers(self.keeping or self.data) if self._is_mine(spec_of(pid)) and is_alive(pid)]

    def _is_mine(self, spec: dict[str, Any]) -> bool:
        return "lasting" in spec and (self.keeping is None or f"/{self._name}/" in spec["lasting"]["folder"])

    @property
    def _name(self) -> str:
        """Return its name on the cluster, which other agents use as well."""
        file = self.data / "ray-identity"
        return file.read_text() if file.exists() else "none"

    def kept(self) -> list[Path]:
        """List the files of jobs that keepers hold until their agent has collected them."""
        nodes = [] if self.keeping is None else [f"{self.keeping}/node-*/agents/{self._name}/*/keepers/*/*/job.json"]
        patterns = [f"{self.data}/keepers/*/*/job.json", f"{self.data}/placed/*.json", *nodes]
        # Unlike `Path.glob`, this tolerates folders that are removed meanwhile.
        return [Path(each) for pattern in patterns for each in glob.glob(pattern)]  # noqa: PTH207

    def close(self) -> None:
        """End all that is left."""
        self.http.close()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        for pid in [*keepers(self.data), *self.keepers()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
