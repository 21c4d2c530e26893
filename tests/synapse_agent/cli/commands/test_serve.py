"""The agent as a process: its command line, its signals, its restarts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from backends import answer, plugin_zip, record, release, send
from faults import FaultServer, Step
from forked import PROGRAM, Command, run
from keepers import family as family_of
from keepers import is_alive
from waiting import until


@dataclass
class Served:
    """A running agent and a client of it."""

    process: subprocess.Popen[str]
    http: httpx.Client
    data: Path

    def run(self, action: str, **body: Any) -> httpx.Response:
        return self.http.post("/plugin_releases/tools@1.0.0/run/", json={"action": action, **body})

    def create(self, plugin: str) -> httpx.Response:
        return self.http.post("/plugin_releases/", json={"plugin": plugin, "version": "1.0.0"})

    def job(self, job_id: str) -> dict[str, Any]:
        record: dict[str, Any] = self.http.get(f"/jobs/{job_id}/").raise_for_status().json()
        return record

    def end(self, number: int = signal.SIGTERM) -> tuple[str, str]:
        """Send a signal and return the output up to the end of the process."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=30)


Serve = Callable[..., Served]


@pytest.fixture
def serve(plugins: Path, tmp_path: Path) -> Iterator[Serve]:
    """Start agents on free ports, and kill them after the test."""
    started: list[Served] = []

    def start(
        *options: str,
        sources: Sequence[str] = ("--plugins", str(plugins)),
        data: Path = tmp_path / "data",
        token: str = "secret",
        **env: str,
    ) -> Served:
        command = [*PROGRAM, "serve", *sources, "--data-dir", str(data), "--port", "0"]
        command += ["--allow-write", str(tmp_path), *options]
        process = Command(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **env})
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("ready http://"), process.communicate()
        headers = {"Authorization": token}
        http = httpx.Client(base_url=line.removeprefix("ready ").strip(), headers=headers, timeout=60, trust_env=False)
        started.append(Served(process, http, data))
        if "--plugins" in sources:
            http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"})
        return started[-1]

    yield start
    for served in started:
        served.http.close()
        with served.process as process:
            process.kill()


def call(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=30, env={**os.environ, **env}, check=False
    )


def test_serving_begins_with_one_line_and_ends_with_sigterm(serve: Serve) -> None:
    """Nothing else is printed on stdout, the exit code is 0, and no process is left."""
    served = serve("--token", "secret")
    assert served.run("echo", params={"value": 1}).json() == 1
    family = family_of(served.data)
    assert family
    assert served.end()[0] == ""
    assert served.process.returncode == 0
    assert not any(map(is_alive, family))
    assert list((served.data / "tmp").iterdir()) == []


def test_an_agent_keeps_the_token_that_it_made(serve: Serve, tmp_path: Path) -> None:
    """The token is in the data folder, readable by its owner only; stderr names the file; the next start reuses it."""
    (tmp_path / "data").mkdir()
    first = serve(token="?")
    file = tmp_path / "data" / "token"
    assert file.stat().st_mode & 0o777 == 0o600
    token = file.read_text().strip()
    assert first.http.get("/jobs/", headers={"Authorization": token}).status_code == 200
    _, said = first.end()
    assert str(file) in said
    assert token not in said
    assert serve(token=token).http.get("/jobs/").status_code == 200


def test_commands_find_the_agent_that_is_served_here(serve: Serve, tmp_path: Path) -> None:
    """They use the address and the token in the user's folder; a stopped agent has removed its address."""
    data = tmp_path / "synapse-agent"
    (data).mkdir()
    served = serve(data=data, token="?", XDG_STATE_HOME=str(tmp_path))
    assert (data / "address").read_text().split() == [str(served.http.base_url).rstrip("/"), str(served.process.pid)]
    here = {"XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    assert call("jobs", "list", **here).stdout == "[]\n"
    served.end()
    assert not (data / "address").exists()
    assert "http://127.0.0.1:8000, from the default" in call("doctor", **here).stdout


def test_the_address_of_an_agent_that_was_killed_counts_no_more(serve: Serve, tmp_path: Path) -> None:
    """Another program may listen there by now, and must not get the token."""
    data = tmp_path / "synapse-agent"
    data.mkdir()
    serve(data=data, token="?", XDG_STATE_HOME=str(tmp_path)).end(signal.SIGKILL)
    assert (data / "address").exists()
    found = call("doctor", XDG_STATE_HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path)).stdout
    assert "http://127.0.0.1:8000, from the default" in found


def test_a_token_comes_from_a_file_or_the_environment(serve: Serve, tmp_path: Path) -> None:
    """Actions never get it."""
    (tmp_path / "token").write_text("from-a-file\n")
    by_file = serve("--token-file", str(tmp_path / "token"), token="from-a-file", data=tmp_path / "a")
    assert by_file.http.get("/jobs/").status_code == 200
    by_environment = serve(token="from-outside", data=tmp_path / "b", SYNAPSE_AGENT_TOKEN="from-outside")
    modules = {"look": "import os\ndef look():\n    return dict(os.environ)\n"}
    body = {"action": "look", "modules": modules, "config": {"actions": {"look": "look:look"}}}
    seen = by_environment.http.post("/plugin_releases/run_debug/", json=body).json()
    assert "PATH" in seen
    assert "from-outside" not in str(seen)


def test_without_a_token_only_on_request(serve: Serve) -> None:
    """`--no-token` admits every process of this machine."""
    served = serve("--no-token")
    del served.http.headers["Authorization"]
    assert served.http.get("/jobs/").status_code == 200


def test_sigterm_ends_a_running_action_and_its_caller_gets_an_error(serve: Serve, tmp_path: Path) -> None:
    """The caller gets 500 `action_stopped`, the caller of a waiting run 503 `unavailable`; the records have these."""
    served = serve("--token", "secret", "--max-concurrent-runs", "1")
    path = str(tmp_path / "never")
    with ThreadPoolExecutor(2) as pool:
        going = pool.submit(served.run, "wait", params={"path": path}, job_id="going")
        until(Path(path + ".started").exists)
        waiting = pool.submit(served.run, "wait", params={"path": path}, job_id="waiting")
        until(lambda: len(served.http.get("/jobs/").json()) == 2)
        family = family_of(served.data)
        served.end()
    assert (going.result().status_code, waiting.result().status_code) == (500, 503)
    assert going.result().json()["detail"]["job_id"] == "going"
    assert served.process.returncode == 0
    assert not any(map(is_alive, family))
    again = serve("--token", "secret")
    assert (again.job("going")["status"], again.job("going")["error"]["error_type"]) == ("STOPPED", "action_stopped")
    assert (again.job("waiting")["status"], again.job("waiting")["error"]["error_type"]) == ("STOPPED", "unavailable")


STUBBORN = """
import signal, time
from pathlib import Path
def stay(path):
    signal.signal(signal.SIGTERM, lambda *_: Path(path + ".told").touch())
    Path(path).touch()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.01)
"""


def stubborn(path: Path) -> dict[str, Any]:
    config = {"actions": {"stay": {"entrypoint": "stubborn:stay", "method": "job"}}}
    return {"action": "stay", "params": {"path": str(path)}, "config": config, "modules": {"stubborn": STUBBORN}}


def test_a_second_signal_ends_running_actions_at_once(serve: Serve, tmp_path: Path) -> None:
    """The first one asks them and waits; the second kills an action that does not end."""
    served = serve("--token", "secret", "--grace", "60")
    served.http.post("/plugin_releases/run_debug/", json=stubborn(tmp_path / "stubborn"))
    until((tmp_path / "stubborn").exists)
    family = family_of(served.data)
    served.process.send_signal(signal.SIGINT)
    until((tmp_path / "stubborn.told").exists)
    time.sleep(0.2)
    assert served.process.poll() is None
    began = time.monotonic()
    served.end(signal.SIGINT)
    assert time.monotonic() - began < 20
    assert not any(map(is_alive, family))


def test_after_kill_9_finished_jobs_stay_and_running_ones_are_failed(serve: Serve, tmp_path: Path) -> None:
    """The error is `agent_restarted`; no process of them is left, and the same job can run again."""
    served = serve("--token", "secret")
    assert served.run("large", params={"size": 100_000}, job_id="large").status_code == 200
    served.run("talk", job_id="small")
    path = str(tmp_path / "never")
    served.run("wait_in_background", params={"path": path}, job_id="running")
    until(Path(path + ".started").exists)
    family = family_of(served.data)
    served.end(signal.SIGKILL)
    until(lambda: not any(map(is_alive, family)))
    again = serve("--token", "secret")
    assert len(again.job("large")["result"]) == 100_000
    assert again.job("small")["result"] == "said"
    assert "spoken" in again.http.get("/jobs/small/logs/").text
    error = again.job("running")["error"]
    assert (again.job("running")["status"], error["error_type"]) == ("FAILED", "agent_restarted")
    assert error["job_id"] == "running"
    assert again.run("wait_in_background", params={"path": path}, job_id="running").status_code == 202


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_workers_are_ready_with_the_agent_and_end_with_it(serve: Serve, number: signal.Signals) -> None:
    """`--warm` starts the workers of a served action before the first call; they always end with the agent."""
    serve("--token", "secret").end()
    served = serve("--token", "secret", "--warm", "tools@1.0.0")

    def running() -> list[Any]:
        return [each for each in served.http.get("/serve_applications/").json() if each["status"] == "RUNNING"]

    (found,) = until(running)
    assert (found["name"], found["calls"]) == ("tools@1.0.0:served_echo", 0)
    assert served.run("served_echo", params={"value": 1}).json() == 1
    (record,) = served.http.get("/serve_applications/").json()
    assert (record["calls"], [worker["calls"] for worker in record["workers"]]) == (1, [1])
    family = family_of(served.data)
    served.end(number)
    until(lambda: not any(map(is_alive, family)))


def test_a_backend_alone_is_enough(serve: Serve, tmp_path: Path) -> None:
    """Its token comes from a variable, a file or an option; no action, log or answer has it."""
    archive = plugin_zip()
    (tmp_path / "token").write_text("backend-secret\n")
    ways: list[tuple[list[str], dict[str, str]]] = [
        ([], {"SYNAPSE_BACKEND_TOKEN": "backend-secret"}),
        (["--backend-token-file", str(tmp_path / "token")], {}),
        (["--backend-token", "backend-secret", "--token", "secret"], {"SYNAPSE_BACKEND_TOKEN": "another"}),
    ]
    modules = {"look": "import os\ndef look():\n    return dict(os.environ)\n"}
    look = {"action": "look", "modules": modules, "config": {"actions": {"look": "look:look"}}}
    script = [*release(archive, archive_url="/a.zip?signature=hidden"), send(status="401 Unauthorized")]
    with FaultServer(script * len(ways)) as backend:
        for number, (options, env) in enumerate(ways):
            sources = ["--backend", backend.base_url, *options]
            served = serve(sources=sources, data=tmp_path / str(number), **{"SYNAPSE_AGENT_TOKEN": "secret", **env})
            assert served.create("small").status_code == 201
            answers = [served.create("other"), served.http.post("/plugin_releases/run_debug/", json=look)]
            assert [each.status_code for each in answers] == [502, 200]
            _, said = served.end()
            assert backend.received[-1].headers["authorization"] == "Token backend-secret"
            assert f"Downloaded 'small@1.0.0' from {backend.base_url}: {len(archive)} bytes in " in said
            assert not any(secret in said + str(answers) for secret in ("backend-secret", "hidden"))
            assert not any("backend-secret" in each.text for each in answers)


def test_a_download_keeps_an_agent_neither_from_ending_nor_from_starting_again(serve: Serve) -> None:
    """An agent that is stopped ends at once, and the caller gets an error; a killed one leaves nothing behind."""
    archive = plugin_zip()
    stalls = [send(record(archive)), Step(lambda: answer(archive), fault="stall", after=-9)]
    with FaultServer([*stalls, *stalls, *release(archive)]) as backend, ThreadPoolExecutor(1) as pool:
        for number, left in ((signal.SIGTERM, 4), (signal.SIGKILL, 2)):
            served = serve("--token", "secret", "--backend", backend.base_url)
            waiting = pool.submit(served.create, "small")
            until(lambda left=left: len(backend.left) == left)
            until(lambda served=served: list((served.data / "tmp").iterdir()))
            began = time.monotonic()
            served.end(number)
            assert time.monotonic() - began < 20
            if number == signal.SIGTERM:
                assert waiting.result().json()["detail"]["error_type"] == "unavailable"
                assert (served.process.returncode, list((served.data / "tmp").iterdir())) == (0, [])
            else:
                assert isinstance(waiting.exception(), httpx.RemoteProtocolError)
        again = serve("--token", "secret", "--backend", backend.base_url)
        until(lambda: not any((again.data / "tmp").iterdir()))
        assert again.create("small").status_code == 201


def test_environments_are_limited_as_configured(serve: Serve) -> None:
    """Number and size are limited; the most recently used environment stays."""
    for number, option in enumerate((["--max-environments", "1"], ["--max-environments-size", "1kB"])):
        served = serve("--token", "secret", *option)
        for requirements in ([], [f"six>=1.{number}"]):
            assert served.run("echo", params={"value": 1}, requirements=requirements).json() == 1
        until(lambda served=served: len(list((served.data / "environments").iterdir())) == 1)
        (left,) = (served.data / "environments").iterdir()
        assert list(left.glob("lib/*/site-packages/six.py"))
        served.end()


@pytest.mark.parametrize("options", [("--keep-jobs-days", "0.0000001"), ("--max-jobs-size", "1kB")])
def test_old_jobs_are_removed_as_configured(serve: Serve, options: tuple[str, str]) -> None:
    """Age and size are limited; logs and results are removed with the jobs."""
    served = serve("--token", "secret")
    assert served.run("large", params={"size": 100_000}, job_id="large").status_code == 200
    assert len(served.job("large")["result"]) == 100_000
    served.end()
    again = serve("--token", "secret", *options)
    until(lambda: again.http.get("/jobs/large/").status_code == 404)
    until(lambda: not list((again.data / "jobs").iterdir()))


def test_two_agents_never_share_a_data_folder(serve: Serve, plugins: Path, tmp_path: Path) -> None:
    """The second reports it in one line, with exit code 1; two with different folders can share a plugins folder."""
    first = serve("--token", "secret")
    options = ["serve", "--plugins", str(plugins), "--port", "0", "--token", "x"]
    ended = call(*options, "--data-dir", str(first.data))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"belongs to another running agent (process {first.process.pid})" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert serve("--token", "secret", data=tmp_path / "other").run("echo", params={"value": 2}).json() == 2


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--host", "0.0.0.0"], 2, "token"),
        (["--host", "0.0.0.0", "--no-token"], 2, "token"),
        (["--token", "x", "--no-token"], 2, "one of"),
        (["--token", "not ascii é"], 1, "token"),
        (["--plugins", "/no/such/folder", "--token", "x"], 1, "/no/such/folder"),
        (["--backend", "host"], 2, "'host' must be an http or https URL"),
        (["--backend", "http://host", "--backend-token", "two words"], 1, "--backend-token"),
        (["--backend", "http://host", "--backend-token", "x", "--backend-token-file", "y"], 2, "Use either --backend"),
        (["--backend", "http://host", "--backend-token-file", "/no/such/file"], 1, "/no/such/file"),
        (["--backend", "http://host", "--backend-time-limit", "0"], 2, "backend_time_limit must be more than 0"),
        (["--backend", "http://host", "--max-archive-size", "0"], 2, "max_archive_bytes must be more than 0"),
        (["--backend-token", "x"], 2, "add --backend"),
        (["--port", "x"], 2, "--port"),
        (["--port", "70000"], 2, "--port"),
        (["--time-limit", "0"], 2, "remove it for none"),
        (["--max-concurrent-runs", "0"], 2, "--max-concurrent-runs"),
        (["--max-environments", "0"], 2, "--max-environments"),
        (["--max-environments-size", "0"], 2, "max_environments_bytes must be more than 0"),
        (["--max-environments-size", "huge"], 2, "'huge' is not a size"),
        (["--colour", "red"], 2, "--colour"),
        (["--max-memory", "lots"], 2, "'lots' is not a size"),
        (["--max-file-size", "0"], 2, "--max-file-size must be a whole number from 1, not 0"),
        (["--max-processes", "0"], 2, "--max-processes"),
        (["--max-zygotes", "none"], 2, "--max-zygotes"),
        (["--allow-write", "/no/such/folder"], 2, "--allow-write /no/such/folder does not exist"),
        (["--debug-root", "/no/such/folder"], 2, "--debug-root /no/such/folder does not exist"),
        (["--config", "/no/such/file"], 2, "The configuration file /no/such/file cannot be read"),
        (["--debug-root", "/", "--no-debug"], 2, "add --allow-debug, or remove it"),
        (["--tls-cert", "/x"], 2, "--tls-cert and --tls-key go together"),
    ],
)
def test_a_failed_start_is_reported_with_advice(
    cli: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    plugins: Path,
    tmp_path: Path,
    options: list[str],
    code: int,
    said: str,
) -> None:
    """The exit code is 1 if the agent can't start, 2 for a usage error; stdout stays empty, and nothing is served."""
    monkeypatch.setattr("synapse_agent.cli.commands.serve.keep_to_itself", lambda: None)
    monkeypatch.setattr("synapse_agent.server.process.serve_until_stopped", lambda _: pytest.fail("It serves."))
    ended = cli("serve", "--plugins", str(plugins), "--data-dir", str(tmp_path / "data"), "--port", "0", *options)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--token-file", "/no/such/file"], "/no/such/file"),
        (["--data-dir", "/proc/nowhere", "--token", "x"], "/proc/nowhere"),
        (["--tls-cert", "/no/such/cert", "--tls-key", "/x"], "The certificate /no/such/cert cannot be read"),
    ],
)
def test_a_problem_at_the_start_ends_the_process(plugins: Path, tmp_path: Path, options: list[str], said: str) -> None:
    """Its exit code is 1, and it prints no traceback."""
    ended = call("serve", "--plugins", str(plugins), "--data-dir", str(tmp_path / "data"), "--port", "0", *options)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_every_option_reaches_what_it_is_for(serve: Serve, tmp_path: Path) -> None:
    """Limits, the sandbox and debug runs have their configured values."""
    limits = ["--max-cpu-seconds", "7", "--max-memory", "4GiB", "--max-file-size", "1MB", "--max-processes", "5000"]
    more = ["--max-zygotes", "1", "--max-plugin-files", "100", "--max-plugin-size", "1GiB", "--max-archive-ratio", "10"]
    served = serve(
        *(
            "--token",
            "secret",
            "--no-sandbox",
            "--debug-root",
            str(tmp_path),
            "--max-debug-size",
            "1KiB",
            *limits,
            *more,
        )
    )
    source = """
import resource
def look():
    return [resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in ("CPU", "AS", "FSIZE", "NPROC")]
"""
    body = {"action": "look", "modules": {"look": source}, "config": {"actions": {"look": "look:look"}}}
    answer = served.http.post("/plugin_releases/run_debug/", json=body)
    assert answer.json() == [7, 4 * 2**30, 10**6, 5000]
    assert served.http.get("/health/").json()["sandbox"]["status"] == "off"
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "large").write_bytes(bytes(2000))
    answers = [
        served.http.post("/plugin_releases/run_debug/", json={**body, "plugin_path": path})
        for path in (str(tmp_path / "plugin"), "/")
    ]
    assert [answer.status_code for answer in answers] == [422, 403]


def test_an_agent_beyond_loopback_accepts_debug_runs_only_on_request(serve: Serve, tmp_path: Path) -> None:
    """It also listens on loopback, whose address is in its `ready` line."""
    body = {"action": "look", "modules": {"look": "def look(): pass"}, "config": {"actions": {"look": "look:look"}}}
    options = ["--host", "0.0.0.0", "--token", "secret"]
    for number, (more, status) in enumerate([([], 403), (["--allow-debug"], 200)]):
        served = serve(*options, *more, data=tmp_path / str(number))
        assert served.http.post("/plugin_releases/run_debug/", json=body).status_code == status


def test_a_failed_start_leaves_no_token(tmp_path: Path) -> None:
    """The error is reported before anything is created."""
    call("serve", "--plugins", str(tmp_path), "--data-dir", str(tmp_path / "data"), "--allow-write", "/no/such/folder")
    assert not (tmp_path / "data").exists()
    ended = call("serve", "--plugins", str(tmp_path / "none"), "--data-dir", str(tmp_path / "data"))
    assert ended.stderr.splitlines() == [
        f"synapse-agent: The plugins folder {tmp_path / 'none'} was not found, or is not a folder. "
        "Pass another with --plugins."
    ]
    assert not (tmp_path / "data").exists()


def test_an_agent_without_a_source_leaves_no_token(tmp_path: Path) -> None:
    """One line names the missing option."""
    ended = call("serve", "--data-dir", str(tmp_path / "data"), SYNAPSE_BACKEND_TOKEN="for-another-agent")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines() == [
        "synapse-agent: The agent has no source of plugins. Pass --plugins, --backend or both."
    ]
    assert not (tmp_path / "data").exists()


def test_help_lists_every_option() -> None:
    """It warns that other users can read a token on a command line."""
    ended = call("serve", "--help")
    assert ended.returncode == 0
    options = ["--plugins", "--data-dir", "--host", "--port", "--token", "--token-file", "--no-token", "--python"]
    options += [
        "--tls-cert",
        "--tls-key",
        "--no-sandbox",
        "--allow-write",
        "--allow-debug",
        "--no-debug",
        "--debug-root",
    ]
    options += ["--max-zygotes", "--max-cpu-seconds", "--max-memory", "--max-file-size", "--max-processes"]
    options += ["--max-plugin-files", "--max-plugin-size", "--max-archive-ratio", "--max-debug-size"]
    options += ["--backend", "--backend-token", "--backend-token-file", "SYNAPSE_BACKEND_TOKEN"]
    options += ["--max-environments", "--max-environments-size"]
    assert [option for option in options if option not in ended.stdout] == []
    assert "Others can read a command line" in " ".join(ended.stdout.replace("│", "").split())


def test_without_the_extras_the_command_names_them(tmp_path: Path) -> None:
    """They print one line; the exit code is 1."""
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError(name='typer')")
    ended = call("serve", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1
    assert "typer is not installed" in ended.stderr
    assert "synapse-agent-client[agent,cli]" in ended.stderr
