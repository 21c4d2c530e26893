"""The systemd unit: systemd accepts it, it fits the agent, and its command starts one."""

from __future__ import annotations

import shlex
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trustme

from synapse_agent.server.server import BACKSTOP_SECONDS, KILL_SECONDS
from synapse_agent.settings import Settings

PROGRAM = "/opt/synapse-agent/bin/synapse-agent"


@pytest.fixture(scope="module")
def unit(examples: Path) -> str:
    return (examples / "synapse-agent.service").read_text()


def values(unit: str, name: str) -> list[str]:
    """Return the values of a name in a unit, with continued lines joined."""
    lines = unit.replace("\\\n", " ").splitlines()
    return [line.removeprefix(f"{name}=") for line in lines if line.startswith(f"{name}=")]


def test_systemd_takes_the_unit(unit: str, tmp_path: Path) -> None:
    """`systemd-analyze verify` reports nothing."""
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("this machine has no systemd-analyze")
    path = tmp_path / "synapse-agent.service"
    path.write_text(unit.replace(PROGRAM, sys.executable))
    ended = subprocess.run([verify, "verify", path], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")
    path.write_text(unit.replace(PROGRAM, sys.executable).replace("KillMode=process", "KillMod=process"))
    ended = subprocess.run([verify, "verify", path], capture_output=True, text=True, check=False)
    assert "KillMod" in ended.stderr  # the check above can fail


def test_the_unit_waits_for_runs_to_end(unit: str) -> None:
    """systemd stops only the agent, and waits for it; jobs continue; an action out of memory does not end the unit."""
    settings = Settings(data_dir=Path())
    needed = settings.grace + settings.answer_timeout + KILL_SECONDS + BACKSTOP_SECONDS
    assert int(values(unit, "TimeoutStopSec")[0]) > needed
    assert [values(unit, name) for name in ("KillMode", "Delegate", "OOMPolicy")] == [
        ["process"],
        ["yes"],
        ["continue"],
    ]


def test_the_unit_leaves_the_agent_what_it_needs(unit: str) -> None:
    """The unit permits what the sandbox uses: system calls, namespaces, private folders, generated code."""
    assert set(values(unit, "RestrictNamespaces")[0].split()) == {"user", "mnt", "ipc", "pid"}
    assert {"@mount", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} <= set(
        values(unit, "SystemCallFilter")[0].split()
    )
    assert (values(unit, "StateDirectory"), values(unit, "CacheDirectory")) == (["synapse-agent"], ["synapse-agent"])
    assert values(unit, "MemoryDenyWriteExecute") == values(unit, "ProcSubset") == values(unit, "PrivateDevices") == []


def test_the_units_command_starts_an_agent(unit: str, examples: Path, tmp_path: Path) -> None:
    """The test uses every option as printed, with folders that exist; the token comes from standard input."""
    (command,) = values(unit, "ExecStart")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    issued.private_key_pem.write_to_path(tmp_path / "tls.key")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    places = {
        PROGRAM: f"{sys.executable} -m synapse_agent",
        "/srv/synapse-plugins": str(examples / "plugins"),
        "/var/lib/synapse-agent": str(tmp_path / "data"),
        "%d/": f"{tmp_path}/",
        "--port 8000": "--port 0",
    }
    for printed, real in places.items():
        assert printed in command
        command = command.replace(printed, real)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(shlex.split(command), **pipes) as agent:
        try:
            assert agent.stdin
            assert agent.stdout
            agent.stdin.write("secret\n")
            agent.stdin.close()
            base_url = agent.stdout.readline().removeprefix("ready ").strip()
            headers = {"Authorization": "secret", "Host": "agent.example.com"}
            verify = ssl.create_default_context(cafile=tmp_path / "ca.pem")
            with httpx.Client(base_url=base_url, headers=headers, verify=verify, trust_env=False) as http:
                assert http.get("/jobs/").json() == []
        finally:
            agent.terminate()
    assert agent.returncode == 0
