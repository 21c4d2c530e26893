"""Kills a running agent at random instants, starts it again, and checks for what must never exist."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from local_cluster import LocalCluster

from synapse_agent.storage.trees import tree_digest

COMMAND = [sys.executable, "-m", "synapse_agent", "serve"]
START_SECONDS = 30.0
GONE_SECONDS = 20.0
"""Within this time, nothing may be left of a killed agent."""
FILES = 300
CONFIG = """
code: {code}
version: 1.0.0
actions:
  write: {{entrypoint: "pen:write"}}
  write_much: {{entrypoint: "pen:write_much"}}
  load: {{entrypoint: "pen:load"}}
  linger: {{entrypoint: "pen:linger", method: job}}
"""
CODE = """
import importlib
import subprocess
import time

def write(path, line, seconds=0):
    with open(path, "a") as paper:
        paper.write(line + "\\n")
    time.sleep(seconds)
    return line

def write_much(path, line, size):
    write(path, line)
    return line + "x" * size

def load(name):
    return importlib.import_module(name).VALUE

def linger(path, line, marker):
    subprocess.Popen(["sleep", marker], start_new_session=True)
    subprocess.Popen(["sh", "-c", f"trap '' TERM; sleep {marker} & sleep {marker} & wait"])
    write(path, line, seconds=1000)
"""


class Broken(AssertionError):
    """The restarted agent has something that must never exist."""


@dataclass
class Request:
    """A request that is under way while the agent is killed."""

    send: Callable[[httpx.Client], httpx.Response]
    answer: httpx.Response | None = None

    def begin(self, client: httpx.Client) -> threading.Thread:
        """Send it from another thread."""

        def run() -> None:
            try:
                self.answer = self.send(client)
            except httpx.TransportError:
                self.answer = None

        thread = threading.Thread(target=run)
        thread.start()
        return thread


@dataclass
class Facts:
    """The events that the harness has observed."""

    results: dict[str, Any] = field(default_factory=dict)
    """Results that were answered, by job ID."""
    kills: Counter[str] = field(default_factory=Counter)
    """Kills that hit the middle of something, by phase."""
    missed: Counter[str] = field(default_factory=Counter)
    """Kills that came before it had begun, or when it was over."""


@dataclass(frozen=True)
class Runner:
    """The runner of the agent's actions."""

    options: Sequence[str] = ()
    """The options that select it."""
    environ: Mapping[str, str] = field(default_factory=dict)
    wheels: Path | None = None
    """The folder of packages; by default the agent's own."""
    nodes: Path | None = None
    """The folder of a cluster's nodes."""


def on_cluster(cluster: LocalCluster, wheels: Path) -> Runner:
    """Return the runner of a Ray cluster whose nodes find packages in a folder."""
    options = ["--runner", "ray", "--ray-address", cluster.address]
    return Runner(options, cluster.environ, wheels, cluster.folder)


class Agent:
    """An agent as a process, in a folder that outlives it."""

    def __init__(self, root: Path, runner: Runner) -> None:
        self.root = root
        self.data = root / "data"
        self.plugins = root / "plugins"
        self.wheels = runner.wheels or root / "wheels"
        self.paper = root / "paper"
        self.marker = str(random.SystemRandom().randint(10**8, 10**9))
        """Appears in the command lines of its actions' children and of the installers of its packages."""
        self._runner = runner
        for folder in (self.plugins, self.wheels):
            folder.mkdir(exist_ok=True)
        self.paper.touch()
        self.process: subprocess.Popen[str] | None = None
        self.client = httpx.Client()

    def start(self) -> None:
        """Start it and wait until it takes requests."""
        options = ["--plugins", str(self.plugins), "--data-dir", str(self.data), "--port", "0", "--no-token"]
        options += ["--allow-write", str(self.paper), "--stop-runs"]  # `adopted.py` tests jobs that continue
        env = {**os.environ, **self._runner.environ, "UV_FIND_LINKS": str(self.wheels), "UV_OFFLINE": "1"}
        self._errors = (self.root / "stderr").open("a")
        self.process = subprocess.Popen(
            [*COMMAND, *options, *self._runner.options], stdout=subprocess.PIPE, stderr=self._errors, text=True, env=env
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise Broken(f"It did not start again: {(self.root / 'stderr').read_text()[-2000:]}")
        self.client.close()
        self.client = httpx.Client(base_url=line.split()[1], timeout=60, trust_env=False)

    def kill(self) -> None:
        """Kill it, and wait until all its processes have ended."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self._errors.close()
        end = time.monotonic() + GONE_SECONDS
        while left := self.processes():
            if time.monotonic() > end:
                raise Broken(f"Processes outlive the agent: {left}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it normally."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=60)
            self._errors.close()
        self.client.close()

    def processes(self) -> dict[int, str]:
        """Return the processes that belong to it, by their command lines."""
        found = {}
        digests = [path.name for path in (self.data / "releases").iterdir()]  # folders on nodes have the same names
        known = (str(self.data), f"sleep {self.marker}", f"-- package_{self.marker}", *digests)
        for entry in Path("/proc").iterdir():
            line = _command_line(entry) if entry.name.isdigit() else ""
            if any(each in line for each in known):
                found[int(entry.name)] = line
        return found

    def run(self, action: str, *, release: str = "pen@1.0.0", key: str | None = None, **body: Any) -> Request:
        """Return the request that runs an action."""
        headers = {"Idempotency-Key": key} if key else {}
        path = f"/plugin_releases/{release}/run/"
        return Request(lambda client: client.post(path, json={"action": action, **body}, headers=headers))

    def create(self, code: str) -> Request:
        """Return the request that caches a release."""
        body = {"plugin": code, "version": "1.0.0"}
        return Request(lambda client: client.post("/plugin_releases/", json=body))

    def add_plugin(self, code: str, *, files: int = 0) -> None:
        """Write an archive with a number of files beside the code into the plugins folder."""
        with zipfile.ZipFile(self.plugins / f"{code}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("config.yaml", CONFIG.format(code=code))
            archive.writestr("pen.py", CODE)
            for number in range(files):
                archive.writestr(f"data/{number // 50}/{number}.txt", f"{code} {number} " * 500)

    def add_wheel(self, name: str, value: int) -> None:
        """Write a package that takes some time to install into the folder of packages."""
        modules = {f"{name}/part_{number}.py": f"PART = {number}\n" for number in range(FILES)}
        modules[f"{name}/__init__.py"] = f"from {name}.part_{FILES - 1} import PART\n\nVALUE = PART + {value}\n"
        info = f"{name}-1.0.dist-info"
        modules[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        modules[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: harness\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        record = "".join(f"{path},sha256={_sha256(text)},{len(text)}\n" for path, text in modules.items())
        with zipfile.ZipFile(self.wheels / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            for path, text in {**modules, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
                wheel.writestr(path, text)


class Harness:
    """One agent, killed again and again."""

    def __init__(self, root: Path, *, seed: int, runner: Runner | None = None) -> None:
        self.agent = Agent(root, runner or Runner())
        self.facts = Facts()
        self._random = random.Random(seed)
        self._spans = dict.fromkeys(PHASES, 0.3) | {"result": 0.03}
        """The longest wait before the next kill in each phase, in seconds; at first a guess."""
        self._numbers = 0
        self._newest_line = ""

    @contextmanager
    def running(self) -> Iterator[Harness]:
        """Start the agent with a plugin that is cached and has run, and end it afterwards."""
        self.agent.add_plugin("pen")
        self.agent.start()
        try:
            self.agent.create("pen").send(self.agent.client).raise_for_status()
            self._answered(self.agent.run("write", params=self._line()))
            yield self
        finally:
            self.agent.stop()

    def kill_in(self, phase: str) -> None:
        """Kill the agent at a random instant of a phase, start it again, and raise `Broken` if anything is wrong."""
        prepare = getattr(self, f"_{phase}")
        request, check = prepare()
        thread = request.begin(self.agent.client)
        while phase == "result" and thread.is_alive() and not self._has_written():
            time.sleep(0.0005)
        time.sleep(self._random.uniform(0, self._spans[phase]))
        is_hit = self._has_written() if phase == "running" else thread.is_alive()
        self.agent.kill()
        thread.join()
        (self.facts.kills if is_hit else self.facts.missed)[phase] += 1
        # Aim at the middle of the phase. A miss usually means that the kill came late; in `running`, whose action takes
        # very long, that it came early.
        sooner, later = (0.9, 1.4) if phase == "running" else (0.8, 1.15)
        self._spans[phase] *= sooner if is_hit == (phase == "running") else later
        self.agent.start()
        check(request)
        self._check_everything()

    def _unpacking(self) -> tuple[Request, Callable[[Request], None]]:
        code = self._name("plugin")
        self.agent.add_plugin(code, files=FILES)

        def check(_: Request) -> None:
            _expect(self.agent.create(code).send(self.agent.client).status_code in (200, 201), "It can't be cached.")
            lookup = f"{code}@1.0.0"
            self._answered(self.agent.run("write", release=lookup, params=self._line()))

        return self.agent.create(code), check

    def _environment(self) -> tuple[Request, Callable[[Request], None]]:
        name = self._name(f"package_{self.agent.marker}")
        self.agent.add_wheel(name, self._numbers)
        body = {"params": {"name": name}, "requirements": [name]}
        expected = FILES - 1 + self._numbers

        def check(_: Request) -> None:
            answer = self.agent.run("load", **body).send(self.agent.client)
            _expect((answer.status_code, answer.json()) == (200, expected), f"The package is not whole: {answer.text}")

        return self.agent.run("load", **body), check

    def _running(self) -> tuple[Request, Callable[[Request], None]]:
        params = {**self._line(), "marker": self.agent.marker}
        job_id = self._name("job")
        request = self.agent.run("linger", params=params, job_id=job_id, key=params["line"])

        def check(_: Request) -> None:
            answer = self.agent.client.get(f"/jobs/{job_id}/")
            if answer.status_code == 404:  # killed before the job was recorded: nothing has run
                _expect(params["line"] not in self.agent.paper.read_text(), "It ran, and there is no job.")
                return
            job = answer.json()
            _expect(job["status"] == "FAILED", f"A job that was running is {job['status']}.")
            _expect(job["error"]["error_type"] == "agent_restarted", f"The reason is {job['error']}.")

        return request, check

    def _result(self) -> tuple[Request, Callable[[Request], None]]:
        params = {**self._line(), "size": self._random.choice([10, 50_000, 3_000_000])}
        request = self.agent.run("write_much", params=params, key=params["line"], job_id=self._name("job"))

        def check(sent: Request) -> None:
            again = request.send(self.agent.client)
            if sent.answer is not None and sent.answer.status_code == 200:
                _expect(again.json() == sent.answer.json(), f"A finished result is lost: {again.text[:300]}")
            if again.status_code != 200:
                _expect(again.json()["detail"]["error_type"] == "agent_restarted", f"It ended as {again.text[:300]}")

        return request, check

    def _delete(self) -> tuple[Request, Callable[[Request], None]]:
        code = self._name("plugin")
        self.agent.add_plugin(code, files=FILES)
        self.agent.create(code).send(self.agent.client).raise_for_status()
        path = f"/plugin_releases/{code}@1.0.0"

        def check(sent: Request) -> None:
            status = self.agent.client.get(path).status_code
            _expect(status in (200, 404), f"A release that was being deleted is {status}.")
            if sent.answer is not None:
                _expect(status == 404, "A deleted release is back.")
            if status == 200:
                _expect(self.agent.client.delete(path).status_code == 204, "It can't be deleted any more.")

        return Request(lambda client: client.delete(path)), check

    def _check_everything(self) -> None:
        self._check_releases()
        self._check_results()
        self._check_lines()
        self._check_leftovers()

    def _check_releases(self) -> None:
        listed = self.agent.client.get("/plugin_releases/", params={"page_size": 1000}).json()["results"]
        folders = {path.name: path for path in (self.agent.data / "releases").iterdir()}
        digests = {release["digest"].removeprefix("sha256:") for release in listed}
        _expect(digests == folders.keys(), f"Releases and folders differ: {digests ^ folders.keys()}")
        for name, path in folders.items():
            _expect(tree_digest(path) == f"sha256:{name}", f"The release in {path} is not whole.")

    def _check_results(self) -> None:
        for job_id, result in self.facts.results.items():
            job = self.agent.client.get(f"/jobs/{job_id}/").json()
            _expect(job.get("status") == "SUCCEEDED" and job["result"] == result, f"The result of {job_id} is lost.")

    def _check_lines(self) -> None:
        written = Counter(self.agent.paper.read_text().split())
        twice = [line for line, count in written.items() if count > 1]
        _expect(not twice, f"Run twice: {twice}")

    def _check_leftovers(self) -> None:
        unfinished = [
            job["job_id"]
            for status in ("PENDING", "RUNNING")
            for job in self.agent.client.get("/jobs/", params={"status": status}).json()
        ]
        _expect(not unfinished, f"Jobs of the killed agent are not over: {unfinished}")
        end = time.monotonic() + GONE_SECONDS  # the agent removes files after its answer, too
        while left := [path.name for path in (self.agent.data / "tmp").iterdir()]:
            _expect(time.monotonic() < end, f"Temporary folders are left: {left}")
            time.sleep(0.05)

    def _answered(self, request: Request) -> None:
        answer = request.send(self.agent.client).raise_for_status()
        newest = self.agent.client.get("/jobs/", params={"limit": 1}).json()[0]
        self.facts.results[newest["job_id"]] = answer.json()

    def _line(self) -> dict[str, Any]:
        self._newest_line = uuid.uuid4().hex
        return {"path": str(self.agent.paper), "line": self._newest_line}

    def _has_written(self) -> bool:
        """Return whether the action that was requested last has begun."""
        return self._newest_line in self.agent.paper.read_text()

    def _name(self, kind: str) -> str:
        self._numbers += 1
        return f"{kind}_{self._numbers}"


PHASES = ("unpacking", "environment", "running", "result", "delete")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)


def _sha256(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _command_line(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def report(facts: Facts) -> str:
    """Report how many kills hit the middle of each phase."""
    return json.dumps({"kills": dict(facts.kills), "missed": dict(facts.missed), "total": facts.kills.total()})
