"""The configurations on the page about an agent for a team work: the unit's override, nginx, Caddy."""

from __future__ import annotations

import http.client
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
import typer.main
import yaml
from blocks import ROOT, blocks_of, read_ini
from shells import free_port

from synapse_agent import EmbeddedAgent
from synapse_agent.cli.commands.serve import app
from synapse_agent.server.auth import OPEN_PATHS
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import AuthorizationError

PAGE = ROOT / "docs" / "guides" / "team.md"
BLOCKS = {block.language: block.text for block in blocks_of(PAGE)}
NAME = "agent.example.com"
SLOW = {
    "config": {"actions": {"tell": {"entrypoint": "slow:tell", "method": "job"}}},
    "modules": {
        "slow": """
import time
from pathlib import Path

def tell(end):
    print("first", flush=True)
    while not Path(end).exists():
        time.sleep(0.01)
    print("last")
"""
    },
}
LONGEST = 30


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for files that runs wait for, since runs don't see other new temporary files."""
    return tmp_path_factory.mktemp("signs")


@pytest.fixture(scope="module")
def team_agent(signs: Path) -> Iterator[EmbeddedAgent]:
    """Run an agent that serves the page's host name."""
    with EmbeddedAgent(ROOT / "examples" / "plugins", allowed_hosts=(NAME,), allow_write=(signs,)) as agent:
        yield agent


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a new, untrusted authority."""
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA, tmp_path: Path) -> Path:
    """Write a certificate for the page's name and this machine, and return the folder that it is in."""
    made = authority.issue_cert(NAME, "localhost")
    made.cert_chain_pems[0].write_to_path(str(tmp_path / "agent.crt"))
    made.private_key_pem.write_to_path(str(tmp_path / "agent.key"))
    return tmp_path


def nginx(folder: Path, port: int, agent: EmbeddedAgent) -> list[str]:
    """Return the command that runs nginx with the page's server."""
    server = BLOCKS["nginx"].replace("listen 443", f"listen 127.0.0.1:{port}").replace("/etc/ssl", str(folder))
    server = server.replace("http://127.0.0.1:8000", agent.base_url)
    # By default its worker runs as a user that may not write to the test's folder.
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; worker_processes 1; {user}\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{server} }}\n"
    )
    return ["nginx", "-e", "stderr", "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, port: int, agent: EmbeddedAgent) -> list[str]:
    """Return the command that runs Caddy with the page's site."""
    address = f"https://localhost:{port}, https://{NAME}:{port} {{\n    bind 127.0.0.1\n    tls agent.crt agent.key"
    site = BLOCKS["caddyfile"].replace(f"{NAME} {{", address).replace("127.0.0.1:8000", agent.base_url[7:])
    (folder / "Caddyfile").write_text(f"{{\n    admin off\n    auto_https disable_redirects\n}}\n{site}")
    return ["caddy", "run", "--config", "Caddyfile"]


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    """Run a proxy until the block ends; wait until it listens."""
    environment = os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            until = time.monotonic() + LONGEST
            while not listens(port):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            process.wait(LONGEST)


def listens(port: int) -> bool:
    """Return whether something listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("proxy", [nginx, caddy], ids=["nginx", "caddy"])
def test_a_proxy_of_the_page_passes_everything_on(
    proxy: Callable[[Path, int, EmbeddedAgent], list[str]],
    team_agent: EmbeddedAgent,
    authority: trustme.CA,
    certificate: Path,
    signs: Path,
) -> None:
    """The proxy passes runs, both forms of lookups, large params, a log line by line, and the host name."""
    if shutil.which(proxy.__name__) is None:
        pytest.skip(f"{proxy.__name__} is missing; as root on Debian, .ci/install installs it.")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    port = free_port()
    with running(proxy(certificate, port, team_agent), certificate, port):
        with AgentClient(f"https://localhost:{port}", team_agent.token, verify=trust, max_retries=0) as client:
            release = client.create_plugin_release("my_plugin", "1.0.0")
            assert client.get_plugin_release(release["id"]) == client.get_plugin_release("my_plugin@1.0.0")
            large = {"input": "word " * 4_000_000}
            assert client.run_plugin_release("my_plugin@1.0.0", "process", large)["words"] == 4_000_000
            follow_a_log(client, signs / proxy.__name__)
        assert status_for_name(NAME, port, trust) == 200


def follow_a_log(client: AgentClient, end: Path) -> None:
    """Check that a line arrives during its job."""
    job = client.run_debug_plugin_release("tell", params={"end": str(end)}, **SLOW)
    events = client.tail_job_logs(job["job_id"], deadline=LONGEST)
    assert next(events)["message"] == "first"
    assert client.get_job(job["job_id"])["status"] == "RUNNING"
    end.touch()
    assert [event["type"] for event in events] == ["log", "complete"]


def status_for_name(name: str, port: int, trust: ssl.SSLContext) -> int:
    """Ask for the agent's health under a name."""
    connection = http.client.HTTPSConnection("localhost", port, context=trust, timeout=LONGEST)
    connection.request("GET", "/health/", headers={"Host": name})
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_backup_made_with_the_pages_commands_restores_an_agent(tmp_path: Path) -> None:
    """The restored agent has the jobs, results and releases; the original continues."""
    data = tmp_path / "data"
    with EmbeddedAgent(ROOT / "examples" / "plugins", data_dir=data, token="a-token") as agent:
        (tmp_path / "token").write_text("a-token", encoding="utf-8")
        with agent.client() as client:
            client.create_plugin_release("my_plugin", "1.0.0")
            client.run_plugin_release("my_plugin@1.0.0", "process", {"input": "to be"}, job_id="kept")
            shown = {
                "http://127.0.0.1:8000": agent.base_url,
                "/etc/synapse-agent/token": str(tmp_path / "token"),
                "/var/lib/synapse-agent": str(data),
            }
            run_commands("### Backups", shown, tmp_path)
            result = client.get_job("kept")["result"]
    with EmbeddedAgent(data_dir=tmp_path / "restored", plugins=tmp_path) as agent, agent.client() as client:
        assert client.get_job("kept")["result"] == result
        assert client.run_plugin_release("my_plugin@1.0.0", "process", {"input": "to be"}) == result


def run_commands(title: str, shown: dict[str, str], folder: Path) -> None:
    """Run the shell commands of a section in a folder, with some of its values replaced."""
    section = PAGE.read_text(encoding="utf-8").partition(f"{title}\n")[2].partition("\n### ")[0]
    commands = "".join(re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S))
    for value, real in shown.items():
        assert value in commands
        commands = commands.replace(value, real)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}
    command = ["bash", "-euo", "pipefail", "-c", commands]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 0, done.stderr


def test_the_deployment_of_the_page_fits_the_image() -> None:
    """Its arguments are options of `serve`, its paths are the image's, and its probes need no token."""
    pod = yaml.safe_load(BLOCKS["yaml"])["spec"]["template"]["spec"]
    [container] = pod["containers"]
    image = (ROOT / "examples" / "Dockerfile").read_text(encoding="utf-8")
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(re.findall(r"^VOLUME (\S+)$", image, re.M)) < mounts
    assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}
    for probe in ("readinessProbe", "livenessProbe"):
        request = container[probe]["httpGet"]
        assert (request["path"] in OPEN_PATHS, f"EXPOSE {request['port']}\n" in image) == (True, True)
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    options = {option for each in serve.params for option in (*each.opts, *each.secondary_opts)}
    assert {each for each in container["args"] if each.startswith("--")} <= options


def command_in(text: str) -> str:
    """Return the command that a unit starts, or its override."""
    return str(read_ini(re.sub(r"\\\n *", "", text))["Service"]["ExecStart"])


def test_the_command_behind_a_proxy_starts_an_agent(tmp_path: Path) -> None:
    """The test replaces the server's folders by its own; the agent exits with 0 when systemd stops it."""
    given = {
        "/opt/synapse-agent/bin": str(Path(sys.executable).parent),
        "/srv/synapse-plugins": str(ROOT / "examples" / "plugins"),
        "/var/lib/synapse-agent": str(tmp_path / "data"),
        "--port 8000": "--port 0",
    }
    command = command_in(BLOCKS["ini"])
    for shown, real in given.items():
        assert shown in command
        command = command.replace(shown, real)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(shlex.split(command), **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("a-token\n")
        process.stdin.close()
        base_url = process.stdout.readline().removeprefix("ready ").strip()
        with AgentClient(base_url, "a-token") as client, pytest.raises(AuthorizationError) as caught:
            client.run_debug_plugin_release("tell", **SLOW)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONGEST) == 0
    assert caught.value.error_type == "debug_not_allowed"


def test_what_is_laid_over_the_unit_differs_from_it_in_the_proxy_alone(tmp_path: Path) -> None:
    """Otherwise the command is that of the unit, and systemd accepts it."""
    unit = (ROOT / "examples" / "synapse-agent.service").read_text(encoding="utf-8")
    options, over = (set(re.findall(r"--[a-z-]+ [^- ]\S*", command_in(text))) for text in (unit, BLOCKS["ini"]))
    assert {option.split()[0] for option in options - over} == {"--host", "--tls-cert", "--tls-key"}
    assert {option.split()[0] for option in over - options} == {"--host", "--time-limit"}
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing; it comes with systemd.")
    (tmp_path / "synapse-agent.service.d").mkdir()
    for name, text in {"synapse-agent.service": unit, "synapse-agent.service.d/proxy.conf": BLOCKS["ini"]}.items():
        (tmp_path / name).write_text(text.replace("/opt/synapse-agent/bin", str(Path(sys.executable).parent)))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", tmp_path / "synapse-agent.service"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_demonstration_of_a_job_that_goes_on_works(tmp_path: Path) -> None:
    """The test runs it with another port and a shorter job: each second is logged once."""
    port = free_port()
    script = BLOCKS["bash"].replace("--no-token", f"--no-token --port {port}").replace("seconds=60", "seconds=12")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "SYNAPSE_AGENT_URL": f"http://127.0.0.1:{port}", "SYNAPSE_AGENT_STOP_RUNS": "0"}
    ended = subprocess.run(
        ["bash", "-e"], input=script, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    ticks = [line for line in ended.stdout.splitlines() if line.startswith("tick ")]
    assert ticks == [f"tick {second}" for second in range(12)]
    assert '"keeper"' in ended.stdout
    assert '"SUCCEEDED"' in ended.stdout
