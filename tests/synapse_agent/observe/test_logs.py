"""The log of an agent."""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from forked import PROGRAM, Command

from synapse_agent.jobs.live import RunningJob
from synapse_agent.jobs.reports import JobReports
from synapse_agent.observe.logs import escaped, log_change
from synapse_agent.observe.requests import AccessLog, RequestReport
from synapse_agent.storage.repositories.jobs import EndRecord, JobRow
from synapse_agent.util.changes import Changes

SECRETS = ("p4rams", "0utput", "l0gged", "s3cret")


class Served:
    """An agent in a separate process."""

    def __init__(self, process: subprocess.Popen[str], url: str, token: str) -> None:
        self.process = process
        self.token = token
        self.http = httpx.Client(base_url=url, headers={"Authorization": token}, trust_env=False, timeout=60)

    def end(self) -> list[str]:
        """Stop it, and return its stderr."""
        self.http.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=30)[1].splitlines()


@pytest.fixture
def serve(tmp_path: Path, write_plugin: Callable[..., Path]) -> Iterator[Callable[..., Served]]:
    """Serve a working plugin and a broken one."""
    main = "def go(x):\n    print('l0gged')\n    return '0utput'\ndef bad(x):\n    raise ValueError('s3cret')\n"
    config = "code: small\nversion: 1.0.0\nactions: {go: 'main:go', bad: 'main:bad'}\n"
    write_plugin(tmp_path / "plugins" / "small", {"config.yaml": config, "main.py": main})
    write_plugin(tmp_path / "plugins" / "other", {"config.yaml": "code: other\nactions: 3\n"})
    with _processes() as started:

        def start(*options: str) -> Served:
            data = tmp_path / "data"
            command = [*PROGRAM, "serve", "--port", "0", "--data-dir", str(data)]
            command += ["--plugins", str(tmp_path / "plugins"), *options]
            pipe = subprocess.PIPE
            started.append(Command(command, stdout=pipe, stderr=pipe, text=True))
            assert started[-1].stdout
            ready = started[-1].stdout.readline()
            return Served(started[-1], ready.removeprefix("ready ").strip(), (data / "token").read_text().strip())

        yield start


@contextmanager
def _processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def operate(agent: Served) -> None:
    """Cause what the log should have: a fetch, a run, a failure, refusals and a deletion."""
    http, run = agent.http, "/plugin_releases/small@1.0.0/run/"
    assert http.post("/plugin_releases/", json={"plugin": "small", "version": "1.0.0"}).status_code == 201
    assert http.post(run, json={"action": "go", "params": {"x": "p4rams"}, "job_id": "good"}).json() == "0utput"
    assert http.post(run, json={"action": "bad", "params": {"x": 1}, "job_id": "bad"}).status_code == 500
    assert http.get("/jobs/", headers={"Authorization": "wr0ng"}).status_code == 401
    assert http.get("/jobs/none%1B%5B31m%0A/").status_code == 422
    assert http.get("/jobs/none/").status_code == 404
    assert http.get("/jobs/").status_code == 200
    assert http.delete("/plugin_releases/small@1.0.0").status_code == 204


def test_a_log_has_a_line_for_each_thing_that_happens(serve: Callable[..., Served]) -> None:
    """The log begins with the start and ends with the stop; it contains no token, params or output."""
    agent = serve("--log-level", "debug")
    operate(agent)
    lines = agent.end()
    text = "\n".join(lines)
    for wanted in (
        r"INFO    agent started version=\S+ page=http://127.0.0.1:\d+/ data_dir=\S+ runner=local .*isolation=\S+",
        r"INFO    callers must send the token in \S+/data/token",
        r"INFO    plugins found folder=\S+ count=1 plugins=small@1.0.0",
        r"WARNING plugin broken: other: .*actions.* plugin=other",
        r"INFO    release created release=small@1.0.0 digest=sha256:\S+",
        r"INFO    environment made environment=\S+ python=3\S+ requirements=0 seconds=\S+",
        r"DEBUG   job queued job=good release=small@1.0.0 action=go",
        r"\w+ +job environment ready job=good .*seconds=\S+",
        r"\w+ +job started job=good release=small@1.0.0 action=go seconds=\S+",
        r"INFO    job ended job=good .*action=go status=SUCCEEDED queued_seconds=\S+ .*action_seconds=\S+",
        r"INFO    job ended job=bad .*status=FAILED error_type=action_failed",
        r"INFO    POST /plugin_releases/small@1.0.0/run/ status=500 error_type=action_failed .*token=default",
        r"INFO    GET /jobs/ status=401 error_type=unauthorized .*address=127.0.0.1",
        r"INFO    GET /jobs/none/ status=404 error_type=job_not_found",
        r"INFO    GET /jobs/none%1B%5B31m%0A/ status=422",
        r"INFO    release deleted release=small@1.0.0",
        r"INFO    agent stopping",
    ):
        assert re.search(wanted, text), wanted
    assert not re.search(r"GET /jobs/ status=200", text)
    assert re.findall(r"\w+_seconds=\S*e-\S+", text) == []
    for secret in (*SECRETS, agent.token, "wr0ng"):
        assert secret not in text
    assert all(re.match(r"\d{4}-\d\d-\d\dT\S+Z (DEBUG  |INFO   |WARNING) ", line) for line in lines), lines


def test_a_log_is_json_if_that_is_asked_for(serve: Callable[..., Served]) -> None:
    """Each line is an object; `--access-log all` adds a line for each request."""
    agent = serve("--log-format", "json", "--access-log", "all")
    operate(agent)
    lines = [json.loads(line) for line in agent.end()]
    assert all({"timestamp", "level", "event"} <= line.keys() for line in lines)
    ended = next(line for line in lines if line["event"] == "job ended" and line["job"] == "good")
    assert (ended["release"], ended["action"], ended["status"]) == ("small@1.0.0", "go", "SUCCEEDED")
    assert any(line["event"] == "GET /jobs/" and line["status"] == 200 for line in lines)
    assert not any(secret in json.dumps(lines) for secret in (*SECRETS, agent.token))


def test_warnings_alone_are_logged_if_that_is_asked_for(serve: Callable[..., Served]) -> None:
    """A broken plugin is such a warning."""
    agent = serve("--log-level", "warning", "--access-log", "none")
    operate(agent)
    assert {line.split()[1] for line in agent.end()} == {"WARNING"}


def report(method: str, status: int) -> RequestReport:
    return RequestReport(method, "/jobs/", "/jobs/", status, 0.1, None, None, None, "r")


@pytest.mark.parametrize(
    ("mode", "logged"),
    [("all", ["GET 200", "GET 404", "POST 200", "GET 0"]), ("changes", ["GET 404", "POST 200", "GET 0"]), ("none", [])],
)
def test_requests_are_logged_as_configured(mode: str, logged: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """A request whose client disconnected counts as failed."""
    caplog.set_level(logging.INFO, "synapse_agent")
    log = AccessLog(mode)
    for method, status in (("GET", 200), ("GET", 404), ("POST", 200), ("GET", 0)):
        log.log(report(method, status))
    found = [f"{record.message.split()[0]} {record.status}" for record in caplog.records]
    assert found == [each.replace(" 0", " gone") for each in logged]


def test_a_run_that_is_waited_for_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """The line has outcome and the duration of each step; the steps of jobs, and slow ones, have their own lines."""
    caplog.set_level(logging.INFO, "synapse_agent")
    changes = Changes()
    changes.subscribe(log_change)
    reports = JobReports(changes)
    live = {each: running(each) for each in ("task", "job", "slow")}
    live["slow"].created -= 3
    for each in live.values():
        reports.queued(each.row)
        reports.environment_ready(each)
        reports.started(each)
        reports.progressed(each.row)
        reports.ended(each, EndRecord(status="SUCCEEDED", finished_at="2026"))
    logged = [(record.__dict__["job"], record.message.removeprefix("job ")) for record in caplog.records]
    steps = ["queued", "environment ready", "started", "ended"]
    assert [what for job, what in logged if job == "task"] == ["ended"]
    assert [what for job, what in logged if job == "job"] == steps
    assert [what for job, what in logged if job == "slow"] == steps[1:]


def running(name: str) -> RunningJob:
    """Create a running job with this method."""
    values: dict[str, Any] = dict.fromkeys(JobRow.__dataclass_fields__)
    return RunningJob(JobRow(**values | {"job_id": name, "method": "job" if name == "job" else "task"}))


@pytest.mark.parametrize("text", ["\x1b[31m", "a\nb", "\r", "\u202e", "\u2028", "\x9b", "\x00"])
def test_what_moves_a_cursor_or_ends_a_line_is_escaped(text: str) -> None:
    """This holds for names and messages with any content."""
    assert escaped(text).isprintable()
    assert escaped("ü, 日本") == "ü, 日本"
