"""Tokens do not leak into other processes, logs, records or errors."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from synapse_agent.server.process_secrets import option_values, variable_values

SPY = """
from pathlib import Path

def spy(needle):
    found, read = [], 0
    for path in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]:
        try:
            content = path.read_bytes()
        except OSError:
            continue
        read += 1
        if needle.encode() in content:
            found.append([str(path), content.decode(errors="replace")])
    return {"found": found, "read": read}

def fail():
    raise RuntimeError("as it was to")

def memory(pid):
    with open(f"/proc/{pid}/mem", "rb") as file:
        file.read(1)
"""
BODY = {"config": {"actions": {name: f"spy:{name}" for name in ("spy", "fail", "memory")}}, "modules": {"spy": SPY}}
Start = Callable[..., tuple[subprocess.Popen[str], httpx.Client]]


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ("serve --token abc --port 0", ["abc"]),
        ("serve --token=abc --backend-token def", ["abc", "def"]),
        ("serve --token=a=b --token  --port", ["a=b", ""]),
        ("serve --token --token", ["--token"]),
        ("serve --token-file abc --no-token token=x token", []),
        ("", []),
    ],
)
def test_secrets_in_a_command_line(arguments: str, values: list[str]) -> None:
    """They are found by their options, whatever their values."""
    block = arguments.replace(" ", "\0").encode()
    assert [block[start:end].decode() for start, end in option_values(block)] == values


def test_secrets_in_an_environment() -> None:
    """They are found by the names of their variables, even if another variable has the same value."""
    block = b"A=abc\0SYNAPSE_AGENT_TOKEN=abc\0SYNAPSE_AGENT_TOKENS=x\0\xff=\0SYNAPSE_BACKEND_TOKEN=d=f\0broken\0"
    assert [block[start:end] for start, end in variable_values(block)] == [b"abc", b"d=f"]


def test_a_process_forgets_what_it_was_started_with() -> None:
    """`os.environ`, its children and `/proc` lack the secrets; other values stay; no process can dump its memory."""
    code = """
import ctypes, os, subprocess, sys
from synapse_agent.server.process_secrets import keep_to_itself
command, environment = open("/proc/self/cmdline"), open("/proc/self/environ")
keep_to_itself()
print(repr(command.read().split("\\0")[-4:]))
print(repr(sorted(line for line in environment.read().split("\\0") if line)))
print(repr(sorted(os.environ.items())))
print(subprocess.run(["env"], capture_output=True, text=True, check=True).stdout.count("hidden"))
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
    env = {"A": "hidden", "SYNAPSE_AGENT_TOKEN": "hidden", "SYNAPSE_BACKEND_TOKEN": "h", "PYTHONPATH": "src"}
    command = [sys.executable, "-c", code, "--token", "hidden", "--port"]
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0] == "['--token', '******', '--port', '']"
    assert said[1] == repr(["A=hidden", "PYTHONPATH=src", "SYNAPSE_AGENT_TOKEN=******", "SYNAPSE_BACKEND_TOKEN=*"])
    assert "'A', 'hidden'" in said[2]
    assert "SYNAPSE" not in said[2]
    assert said[3:] == ["1", "0"]


@pytest.fixture
def start(plugins: Path, tmp_path: Path) -> Iterator[Start]:
    """Start agents that get a token in various ways; yield the process and a client."""
    with ExitStack() as stack:

        def start(token: str, *options: str, **more: Any) -> tuple[subprocess.Popen[str], httpx.Client]:
            command = [sys.executable, "-m", "synapse_agent", "serve", "--plugins", str(plugins), "--port", "0"]
            command += ["--data-dir", str(tmp_path / "data"), *options]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            process = stack.enter_context(subprocess.Popen(command, **{**pipes, **more}))
            stack.callback(process.kill)
            assert process.stdout
            base_url = process.stdout.readline().removeprefix("ready ").strip()
            http = httpx.Client(base_url=base_url, headers={"Authorization": token}, timeout=60, trust_env=False)
            return process, stack.enter_context(http)

        yield start


def debug(http: httpx.Client, action: str, **params: Any) -> httpx.Response:
    return http.post("/plugin_releases/run_debug/", json={"action": action, "params": params, **BODY})


WAYS = ("option", "variable", "file", "standard input", "its own")
FREE = ("--no-sandbox",)
"""Without a sandbox an action sees every process, so that each way is tried with it, and one of them in the sandbox."""


@pytest.mark.parametrize(("way", "sandbox"), [*((way, FREE) for way in WAYS), ("option", ())])
def test_an_action_finds_no_token_in_any_process(
    start: Start, tmp_path: Path, way: str, sandbox: tuple[str, ...]
) -> None:
    """It reads each command line and environment that it can, including the agent's."""
    token, backend = secrets.token_urlsafe(), secrets.token_urlsafe()
    env = {**os.environ, "SYNAPSE_BACKEND_TOKEN": backend, "SYNAPSE_USER_TOKEN": backend}
    (tmp_path / "file").write_text(token)
    if way == "option":
        _, http = start(token, "--token", token, *sandbox, env=env)
    elif way == "variable":
        _, http = start(token, *sandbox, env={**env, "SYNAPSE_AGENT_TOKEN": token})
    elif way == "file":
        _, http = start(token, "--token-file", str(tmp_path / "file"), *sandbox, env=env)
    elif way == "standard input":
        with (tmp_path / "file").open() as file:
            _, http = start(token, "--token-file", "-", *sandbox, stdin=file, env=env)
    else:
        _, http = start("", *sandbox, env=env)
        token = (tmp_path / "data" / "token").read_text().strip()
        http.headers["Authorization"] = token
    for needle in (token, backend):
        seen = debug(http, "spy", needle=needle).json()
        assert seen["found"] == []
        # In a namespace it sees its own, its zygote's and its keeper's; without one, those of the whole machine.
        assert seen["read"] > (4 if sandbox else 2)


def test_a_token_is_in_no_log_record_or_error(start: Start, tmp_path: Path) -> None:
    """After requests of all kinds, no file, answer or output of the agent contains it."""
    token = secrets.token_urlsafe()
    process, http = start(token, "--token", token)
    answers = [
        debug(http, "spy", needle="x"),
        debug(http, "fail"),
        http.post("/plugin_releases/", json={"plugin": "no", "version": "1"}),
        http.post("/plugin_releases/", content="{", headers={"Content-Type": "application/json"}),
        http.get("/jobs/", headers={"Authorization": f"Basic {token}"}),
        http.get("/jobs/", headers={"Host": "evil.test"}),
        http.get("/jobs/"),
        http.get("/no/such/path"),
    ]
    assert [answer.status_code for answer in answers] == [200, 500, 404, 400, 401, 403, 200, 404]
    process.terminate()
    said = "".join(process.communicate(timeout=30))
    kept = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert len(kept) > 3
    assert token not in said + "".join(answer.text for answer in answers)
    assert not any(token.encode() in content for content in kept)


def test_no_action_reads_the_agents_memory(start: Start) -> None:
    """The sandbox prevents this even for root; with the run's own `/proc`, the agent is not visible."""
    process, http = start("secret", "--token", "secret")
    if http.get("/health/").json()["sandbox"]["status"] != "active" and os.geteuid() == 0:
        pytest.skip("this kernel has no Landlock, which would restrict root")
    answer = debug(http, "memory", pid=process.pid)
    assert answer.json()["detail"]["exception_type"] in {"PermissionError", "FileNotFoundError"}
