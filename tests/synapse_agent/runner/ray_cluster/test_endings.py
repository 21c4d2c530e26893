"""Starts and ends of agents and clusters, in any order."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from keepers import children, is_alive, parent, pid_of
from local_cluster import LocalCluster
from waiting import until

from synapse_agent.runner.ray_cluster.agent_side.connect import identity
from synapse_agent.runner.ray_cluster.agent_side.runner import RayRunner
from synapse_agent.settings import Settings, StartError

from .conftest import Site
from .test_cluster import is_running, lines

ROOT = Path(__file__).parents[4]


@pytest.fixture
def serve(probes: Path, tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], Site]]]:
    """Return a function that starts an agent on a cluster in a separate process, always on the same data folder."""
    with ExitStack() as stack:

        def start(cluster: LocalCluster) -> tuple[subprocess.Popen[str], Site]:
            command = [sys.executable, "-m", "synapse_agent", "serve", "--plugins", str(probes), "--port", "0"]
            options = ["--no-token", "--allow-write", str(tmp_path), "--data-dir", str(tmp_path / "data")]
            options += ["--runner", "ray", "--ray-address", cluster.address]
            process = stack.enter_context(
                subprocess.Popen(
                    [*command, *options], stdout=subprocess.PIPE, text=True, env=os.environ | cluster.environ
                )
            )
            stack.callback(process.kill)
            assert process.stdout
            base_url = process.stdout.readline().removeprefix("ready ").strip()
            http = stack.enter_context(httpx.Client(base_url=base_url, timeout=60, trust_env=False))
            http.post("/plugin_releases/", json={"plugin": "probe", "version": "1.0.0"}).raise_for_status()
            return process, Site(None, http, tmp_path / "data")

        yield start


def test_an_agent_that_is_killed_takes_its_runs_along(
    serve: Callable[..., tuple[subprocess.Popen[str], Site]], ray_cluster: LocalCluster, tmp_path: Path
) -> None:
    """Driver, actors and actions end within seconds; the next agent reports `agent_restarted`, and works."""
    agent, site = serve(ray_cluster)
    path = tmp_path / "go"
    job_id = site.run("hold", path=str(path)).json()["job_id"]
    [line] = until(lambda: lines(path))
    run = pid_of(line.split()[1])
    zygote = parent(run)
    family = [run, zygote, parent(zygote), *children(agent.pid)]
    assert all(map(is_alive, family))
    agent.send_signal(signal.SIGKILL)
    until(lambda: not any(map(is_alive, family)), seconds=20)
    _, again = serve(ray_cluster)
    record = again.job(job_id)
    assert (record["status"], record["error"]["error_type"]) == ("FAILED", "agent_restarted")
    assert again.run("where").status_code == 200
    assert len(lines(path)) == 1


def test_a_driver_that_is_killed_is_replaced(site: Site, tmp_path: Path) -> None:
    """Its runs end, on the cluster too, with the reason; the agent starts another driver."""
    path = tmp_path / "go"
    job_id = site.run("hold", path=str(path)).json()["job_id"]
    [line] = until(lambda: lines(path))
    os.kill(driver_of(os.getpid(), site.data_dir), signal.SIGKILL)
    error = site.ended(job_id, seconds=20)["error"]
    assert error["error_type"] == "node_lost"
    assert error["message"].startswith("The connection to the Ray cluster was lost")
    until(lambda: not is_running(line.split()[1]), seconds=20)
    until(lambda: site.run("where").status_code == 200)


def test_an_agent_that_cannot_start_a_driver_goes_on_trying(
    serve: Callable[..., tuple[subprocess.Popen[str], Site]], ray_cluster: LocalCluster, tmp_path: Path
) -> None:
    """Each refusal names the cause; once that is fixed, runs work."""
    agent, site = serve(ray_cluster)
    log = tmp_path / "data" / "ray-driver.log"
    log.unlink()
    log.mkdir()
    os.kill(driver_of(agent.pid, tmp_path / "data"), signal.SIGKILL)
    until(lambda: "Is a directory" in site.run("where").text)
    log.rmdir()
    until(lambda: site.run("where").status_code == 200)


def driver_of(agent: int, data: Path) -> int:
    """Return an agent's process that has joined the cluster; this program may have several agents."""

    def is_driver(pid: int) -> bool:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"ray_cluster.driver" in command and bytes(data) in command

    [driver] = filter(is_driver, children(agent))
    return driver


def test_an_agent_survives_its_cluster(
    serve: Callable[..., tuple[subprocess.Popen[str], Site]], tmp_path: Path
) -> None:
    """Running jobs fail with `node_lost`, new runs get 503, `/health/` answers; when the cluster is back, runs work."""
    with LocalCluster(1) as cluster:
        agent, site = serve(cluster)
        path = tmp_path / "go"
        job_id = site.run("hold", path=str(path)).json()["job_id"]
        until(lambda: lines(path))
        cluster.kill_node(0)
        assert site.ended(job_id)["error"]["error_type"] == "node_lost"
        answer = site.run("where")
        assert (answer.status_code, answer.json()["detail"]["error_type"]) == (503, "cluster_unavailable")
        assert "Retry-After" in answer.headers
        assert site.http.get("/health/").json()["status"] == "ok"
    token, port = cluster.environ["RAY_AUTH_TOKEN"], int(cluster.address.rpartition(":")[2])
    with LocalCluster(1, port=port, token=token):
        until(lambda: site.run("where").status_code == 200)
        agent.terminate()
        assert agent.wait(20) == 0


def refusal(tmp_path: Path, *, address: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return why an agent does not start on a cluster, and check that it has left no process."""
    settings = Settings(plugins=(Path("plugins"),), data_dir=tmp_path, runner="ray", ray_address=address)
    before = set(children(os.getpid()))
    with pytest.raises(StartError) as caught:
        asyncio.run(RayRunner.connected(settings, environ=environ))
    assert set(children(os.getpid())) <= before
    return str(caught.value)


def test_a_cluster_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    """The message has its address and the reason."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        assert refusal(tmp_path, address=address).startswith(
            f"The Ray cluster at {address} did not accept the agent: could not connect to {address} ("
        )
    assert "did not accept the agent" in refusal(tmp_path, address="no-such-host.test:6379")


def test_a_wrong_token_is_told(tmp_path: Path, ray_cluster: LocalCluster) -> None:
    """The message is Ray's; Ray retries for a while, which the test shortens."""
    environ = {**os.environ, "RAY_AUTH_TOKEN": "wrong" * 8, "RAY_NUM_REDIS_GET_RETRIES": "1"}
    message = refusal(tmp_path, address=ray_cluster.address, environ=environ)
    assert "Failed to connect to Ray cluster" in message
    assert "InvalidAuthToken" in message


def test_without_the_extra_the_message_names_it(tmp_path: Path, probes: Path) -> None:
    """The environment has everything but Ray."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for path in Path(ray_path()).parent.iterdir():
        if path.name != "ray":
            (packages / path.name).symlink_to(path)
    ours = os.pathsep.join(str(ROOT / name) for name in ("src", "generated"))
    command = [sys.executable, "-S", "-m", "synapse_agent", "serve", "--plugins", str(probes), "--port", "0"]
    options = ["--data-dir", str(tmp_path / "data"), "--runner", "ray", "--ray-address", "127.0.0.1:1"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([ours, str(packages)])}
    told = subprocess.run([*command, *options], capture_output=True, text=True, env=environ, timeout=30)
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1] == (
        "synapse-agent: "
        "The runner ray needs Ray, which is not installed: pip install 'synapse-agent-client[agent,ray]'."
    )


def ray_path() -> str:
    """Return the folder of Ray's installation, without importing it."""
    spec = importlib.util.find_spec("ray")
    assert spec
    assert spec.submodule_search_locations
    return spec.submodule_search_locations[0]


def test_ray_is_imported_in_one_module() -> None:
    """Only the processes of the driver and of the nodes import it."""
    importing = re.compile(r"^\s*(import|from) ray\b", re.M)
    found = [path.name for path in (ROOT / "src").rglob("*.py") if importing.search(path.read_text())]
    assert found == ["ray_api.py"]
    assert "ray" not in sys.modules


def test_an_agent_keeps_its_name_on_the_cluster(tmp_path: Path) -> None:
    """The name is kept in its data folder; other agents have other names."""
    (tmp_path / "other").mkdir()
    assert identity(tmp_path) == identity(tmp_path) != identity(tmp_path / "other")


def test_an_agent_never_goes_without_a_name_on_the_cluster(tmp_path: Path) -> None:
    """A full disk can leave the file empty; agents without a name would end each other's runs."""
    (tmp_path / "ray-identity").touch()
    assert len(identity(tmp_path)) == 16
    assert identity(tmp_path) == identity(tmp_path)
