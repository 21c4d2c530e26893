"""An agent whose actions run on a cluster, and a plugin that reports its node."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import pytest
from local_cluster import LocalCluster
from waiting import until

from synapse_agent import EmbeddedAgent

PROBE = {
    "config.yaml": """
        code: probe
        version: 1.0.0
        actions:
          where: {entrypoint: "probe:where", method: local}
          note: {entrypoint: "probe:note", method: local}
          hold: {entrypoint: "probe:hold", method: job}
          hold_two: {entrypoint: "probe:hold", method: job, resources: {num_cpus: 2}}
          hold_again: {entrypoint: "probe:hold", method: job, resources: {num_cpus: 2}, retryable: true}
          devices: {entrypoint: "probe:devices", method: local, resources: {num_gpus: 1}}
          no_devices: {entrypoint: "probe:devices", method: local}
          large: {entrypoint: "probe:large", method: local}
          tick: {entrypoint: "probe:tick", method: job}
          stubborn: {entrypoint: "probe:stubborn", method: job}
          serve_two: {entrypoint: "probe:Served", method: serve, serve: {max_workers: 2}, resources: {num_cpus: 2}}
          serve_one: {entrypoint: "probe:Served", method: serve, serve: {max_workers: 2}}
        """,
    "probe.py": """
        import os
        import signal
        import subprocess
        import sys
        import time
        from pathlib import Path


        def where(**_):
            return os.getcwd()


        class Served:
            calls = 0

            def predict(self, seconds=0.0):
                time.sleep(seconds)
                self.calls += 1
                return {"calls": self.calls, "where": os.getcwd(), "worker": own_id(os.getpid())}


        def note(path, line):
            with open(path, "a") as file:
                print(line, file=file)
            time.sleep(0.05)
            return line


        def own_id(pid):
            return f"{pid}@{os.stat('/proc/self/ns/pid').st_ino}"


        def hold(path, seconds=60, **_):
            with open(path + ".where", "a") as file:
                print(os.getcwd(), own_id(os.getpid()), file=file)
            end = time.monotonic() + seconds
            while not Path(path).exists():
                assert time.monotonic() < end
                time.sleep(0.01)
            return os.getcwd()


        def devices(path, others=2, **_):
            \"\"\"Tell which GPUs this run sees, once as many runs as it is told are there.\"\"\"
            with open(path, "a") as file:
                print(os.environ.get("CUDA_VISIBLE_DEVICES"), file=file)
            end = time.monotonic() + 20
            while len(Path(path).read_text().splitlines()) < others:
                assert time.monotonic() < end
                time.sleep(0.01)
            return os.environ.get("CUDA_VISIBLE_DEVICES")


        def large(size):
            return "x" * size


        def tick(path):
            while True:
                with open(path, "a") as file:
                    print(time.monotonic(), file=file)
                time.sleep(0.01)


        def stubborn(path):
            \"\"\"Ignore being asked to end, and start what leaves the session and ignores it too.\"\"\"
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
            Path(path).write_text(f"{own_id(os.getpid())} {own_id(child.pid)}")
            time.sleep(60)
        """,
}


class Site:
    """An agent, and a plain HTTP client of it."""

    def __init__(self, agent: EmbeddedAgent, http: httpx.Client, data_dir: Path) -> None:
        self.agent = agent
        self.http = http
        self.data_dir = data_dir

    def run(self, action: str, job_id: str | None = None, **params: Any) -> httpx.Response:
        """Run an action of the plugin `probe`."""
        body: dict[str, Any] = {"action": action, "params": params}
        return self.http.post("/plugin_releases/probe@1.0.0/run/", json=body | ({"job_id": job_id} if job_id else {}))

    def debug(self, source: str, *, action: str = "go", **more: Any) -> httpx.Response:
        """Run `go` of a module from source."""
        config = {"actions": {"go": {"entrypoint": "m:go"}}}
        body = {"action": action, "config": config, "modules": {"m": source}, **more}
        return self.http.post("/plugin_releases/run_debug/", json=body)

    def job(self, job_id: str) -> Any:
        """Return a job's record."""
        return self.http.get(f"/jobs/{job_id}/").raise_for_status().json()

    def ended(self, job_id: str, *, seconds: float = 45) -> Any:
        """Return a job's record once it has ended."""
        return until(lambda: (job := self.job(job_id))["status"] not in ("PENDING", "RUNNING") and job, seconds=seconds)

    def wait_for_room(self, *, seconds: float = 60) -> None:
        """Wait until the shares of ended runs, which are kept for some time, are free, and the driver has seen that."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self.http.get("/resources/cluster/", params={"use_cache": "false"}).json()["cpu"]["used"]:
                break
            time.sleep(0.05)
        time.sleep(1.5)  # the driver checks once a second

    def clear(self) -> None:
        """End all served applications and jobs."""
        for application in self.http.get("/serve_applications/").json():
            self.http.delete(f"/serve_applications/{application['name']}/")
        for status in ("PENDING", "RUNNING"):
            for job in self.http.get("/jobs/", params={"status": status}).json():
                self.http.post(f"/jobs/{job['job_id']}/stop/")

    def sent(self, digest: str = "") -> list[str]:
        """List the transfers of sources to nodes in the driver's log."""
        log = (self.data_dir / "ray-driver.log").read_text()
        return [line for line in log.splitlines() if f"Sent {digest}" in line]


@pytest.fixture(scope="session")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugins folder with `probe` 1.0.0."""
    folder = tmp_path_factory.mktemp("probes")
    (folder / "probe").mkdir()
    for name, text in PROBE.items():
        (folder / "probe" / name).write_text(dedent(text))
    return folder


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    """The agent that all tests share; after a test, all of its runs end."""
    yield shared_site
    shared_site.clear()


@pytest.fixture(scope="session")
def shared_site(ray_cluster: LocalCluster, probes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An agent on the cluster that all tests share."""
    data_dir = tmp_path_factory.mktemp("ray-agent")
    settings = {"runner": "ray", "ray_address": ray_cluster.address, "data_dir": data_dir}
    with EmbeddedAgent(probes, allow_write=(tmp_path_factory.getbasetemp(),), **settings) as agent:
        headers = {"Authorization": agent.token}
        with httpx.Client(base_url=agent.base_url, headers=headers, timeout=60, trust_env=False) as http:
            http.post("/plugin_releases/", json={"plugin": "probe", "version": "1.0.0"}).raise_for_status()
            yield Site(agent, http, data_dir)
