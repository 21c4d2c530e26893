"""The rows of served actions, each beside model servers in their own environments."""

from __future__ import annotations

import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from bench import environments
from bench.agents import Agent, agent, agent_with_release
from bench.environments import Environment
from bench.rows import Row, Values
from bench.subjects.payload import ADDER_RELEASE, TOKEN
from bench.workers import Player, compared

SUBJECTS = ("ours", "litserve", "ray_serve", "plain_process")
GROUP = "serving"
"""A word that selects all of these rows."""
HERE = Path(__file__).parent
_NUMBERS = '{"a":1,"b":2}'
_OURS = f'{{"action":"add_served","params":{_NUMBERS}}}'
_READY_SECONDS = 120.0
_CALLS = 20
_KILLS = 20
_KILLED_CALLS = 10_000

Homes = Mapping[str, Environment]


def measured(words: Sequence[str]) -> list[tuple[Row, Values]]:
    """Measure the rows whose names contain one of these words, or all without words or with `serving`."""
    found = []
    for row in ROWS:
        if not words or GROUP in words or any(word in row.name for word in words):
            print(f"{row.name} …", file=sys.stderr, flush=True)
            try:
                found.append((row, row.measure(environments.prepare_agent(), "")))
            except LeftOutError as why:
                print(f"{row.name} is left out: {why}", file=sys.stderr)
    return found


class LeftOutError(Exception):
    """This machine lacks something that a row needs."""


def prepare() -> dict[str, Environment]:
    """Make the environments of the peers."""
    python = Path(sys.executable)
    return {
        "litserve": environments.make("litserve", python, *environments.locked("litserve.txt", hashed=True)),
        "ray_serve": environments.make("ray_serve", python, *environments.locked("ray_serve.txt", hashed=True)),
    }


def calls(scenario: str, *, times: int, rounds: int) -> Values:
    """Return the duration of a call in seconds by a number of callers, for each server."""
    homes = {**environments.prepare_agent(), **prepare()}  # made only if one of these rows is wanted
    with ExitStack() as stack:
        ours = stack.enter_context(agent_with_release(homes["agent"]))
        urls = {
            "ours": f"{ours.url}{ADDER_RELEASE}/run/#{_OURS}",
            "litserve": f"{stack.enter_context(peer(homes['litserve'], 'litserve_app.py', '/predict'))}#{_NUMBERS}",
            "ray_serve": f"{stack.enter_context(peer(homes['ray_serve'], 'ray_serve_app.py', '/'))}#{_NUMBERS}",
        }
        python = homes["agent"].python
        players = {name: Player(python, "served_callers", url, times=times) for name, url in urls.items()}
        measured = compared(players, scenario, rounds=rounds)
    return {name: statistics.median(each.seconds for each in all_of) for name, all_of in measured.items()}


def latency(_: Homes, __: str) -> Values:
    """Measure one caller."""
    return {name: seconds * 1e3 for name, seconds in calls("1 caller", times=100, rounds=15).items()}


def four(_: Homes, __: str) -> Values:
    """Measure four callers at a time."""
    return {name: 1 / seconds for name, seconds in calls("4 callers", times=400, rounds=9).items()}


def sixteen(_: Homes, __: str) -> Values:
    """Measure sixteen callers at a time."""
    return {name: 1 / seconds for name, seconds in calls("16 callers", times=800, rounds=9).items()}


def loaded(homes: Homes, _: str) -> Values:
    """Measure 20 calls of a class that loads PyTorch, in an existing environment, beside one process that does."""
    with agent(homes["agent"]) as ours:
        post(ours, "/plugin_releases/", {"plugin": "loader", "version": "1.0.0"})
        lookup = "/plugin_releases/loader%401.0.0"
        try:
            post(ours, f"{lookup}/run/", {"action": "predict", "params": {"seed": 0}})
        except SystemExit as error:
            raise LeftOutError(error) from error
        python = next(Path(ours.data).glob("environments/*/bin/python"))
        seconds: dict[str, list[float]] = {"ours": [], "plain_process": []}
        for _ in range(3):
            delete(ours, "/serve_applications/loader%401.0.0:predict/")
            begun = time.perf_counter()
            for seed in range(_CALLS):
                post(ours, f"{lookup}/run/", {"action": "predict", "params": {"seed": seed}})
            seconds["ours"].append(time.perf_counter() - begun)
            begun = time.perf_counter()
            script = HERE / "plugins" / "loader" / "model.py"
            subprocess.run([python, script], check=True, capture_output=True)
            seconds["plain_process"].append(time.perf_counter() - begun)
    return {name: statistics.median(each) for name, each in seconds.items()}


def killed(homes: Homes, _: str) -> Values:
    """Count the errors of 10,000 calls, while the worker is killed 20 times."""
    errors = 0
    with agent_with_release(homes["agent"]) as ours:
        connection, body = HTTPConnection(urlsplit(ours.url).netloc), _OURS
        headers = {"Authorization": TOKEN, "Content-Type": "application/json"}
        for number in range(_KILLED_CALLS):
            if number % (_KILLED_CALLS // _KILLS) == _KILLED_CALLS // _KILLS // 2:
                kill_worker(ours)
            connection.request("POST", f"{ADDER_RELEASE}/run/", body, headers)
            answer = connection.getresponse()
            errors += (answer.status, answer.read()) != (200, b'{"sum":3}')
    return {"ours": errors}


def kill_worker(ours: Agent) -> None:
    """Kill the worker, which is the process below the keepers with the most CPU time."""
    below = [pid for keeper in ours.keepers() for zygote in _children(keeper) for pid in _children(zygote)]
    os.kill(max(below, key=_cpu_time), 9)


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _cpu_time(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def post(ours: Agent, path: str, body: object) -> bytes:
    """Send a request to an agent, and return its answer."""
    return _request(ours, "POST", path, json.dumps(body))


def delete(ours: Agent, path: str) -> bytes:
    """Delete something of an agent's."""
    return _request(ours, "DELETE", path)


def _request(ours: Agent, method: str, path: str, body: str | None = None) -> bytes:
    connection = HTTPConnection(urlsplit(ours.url).netloc)
    connection.request(method, path, body, {"Authorization": TOKEN, "Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status >= 300:
        raise SystemExit(f"{method} {path} was answered with {answer.status}: {text.decode()}")
    return text


@contextmanager
def peer(home: Environment, script: str, path: str) -> Iterator[str]:
    """Start a server; yield the address of its function."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environ = {**os.environ, **ray, "PATH": f"{home.folder}/bin:{os.environ['PATH']}"}
    log = (environments.HOME / f"{script}.log").open("wb")
    with (
        log,
        subprocess.Popen(
            [home.python, HERE / script, str(port)], env=environ, stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            _wait(port, path, process)
            yield f"http://127.0.0.1:{port}{path}"
        finally:
            os.killpg(process.pid, 15)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)


def _wait(port: int, path: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("POST", path, _NUMBERS, {"Content-Type": "application/json"})
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"{process.args!r} did not start; its log is in {environments.HOME}.")


ROWS = [
    Row("served call over HTTP, p50", "ms", latency, {"litserve": 0.7, "ray_serve": 0.15}),
    Row("served calls, 4 callers", "/s", four, {"litserve": 1.3, "ray_serve": 6}, more_is_better=True),
    Row("served calls, 16 callers", "/s", sixteen, {"litserve": 1.3, "ray_serve": 6}, more_is_better=True),
    Row("20 served calls of a class that loads PyTorch", "s", loaded, {"plain_process": 1.1}),
    Row("errors of 10,000 served calls with 20 kills", "", killed, limit=0),
]
