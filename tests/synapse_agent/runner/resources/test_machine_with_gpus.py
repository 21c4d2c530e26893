"""The resources of runs on the agent's own machine. Only one test needs a real GPU."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.runner.resources.gpus import find_gpus
from synapse_agent.util.cpus import usable_cpus
from synapse_sdk.exceptions import ValidationError

SOURCE = """
import os, subprocess, sys, time
from pathlib import Path

VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "OMP_NUM_THREADS",
             "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

def seen(**params):
    return {name: os.environ.get(name) for name in VARIABLES}

def child(**params):
    code = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()

def hold(name, **params):
    there, draft = Path(params["folder"], name), Path(params["folder"], f".{name}")
    draft.write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "unset"))
    draft.rename(there)
    while there.exists():
        time.sleep(0.01)
    return there.name

def die(**params):
    os.kill(os.getpid(), 9)
"""
COUNTS_CUDA_DEVICES = """
import ctypes

def go(**params):
    cuda, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
    cuda.cuInit(0)
    cuda.cuDeviceGetCount(ctypes.byref(count))
    return count.value
"""
ACTIONS = {
    "seen": {"entrypoint": "m:seen"},
    "child": {"entrypoint": "m:child"},
    "hold": {"entrypoint": "m:hold"},
    "train": {"entrypoint": "m:hold", "method": "job", "resources": {"num_gpus": 1}},
    "die": {"entrypoint": "m:die", "resources": {"num_gpus": 2}},
    "huge": {"entrypoint": "m:seen", "method": "job", "resources": {"num_gpus": 1, "num_cpus": 64, "memory": "1TiB"}},
}


class Site:
    """An agent that counts two GPUs, without real cards."""

    def __init__(self, agent: EmbeddedAgent, folder: Path) -> None:
        self.folder = folder
        headers = {"Authorization": agent.token}
        self.http = httpx.Client(base_url=agent.base_url, headers=headers, timeout=60, trust_env=False)
        self._pool = ThreadPoolExecutor(16)

    def run(
        self,
        action: str,
        *,
        headers: dict[str, str] | None = None,
        job_id: str | None = None,
        priority: int | None = None,
        **params: Any,
    ) -> httpx.Response:
        """Run an action from its source."""
        body = {"action": action, "config": {"actions": ACTIONS}, "modules": {"m": SOURCE}, "params": params}
        given = {"job_id": job_id, "priority": priority}
        body |= {name: value for name, value in given.items() if value is not None}
        return self.http.post("/plugin_releases/run_debug/", json=body, headers=headers)

    def hold(self, name: str, *, action: str = "hold", **params: Any) -> Future[httpx.Response]:
        """Start a run that waits until its file is removed."""
        return self._pool.submit(self.run, action, job_id=name, name=name, folder=str(self.folder), **params)

    def status(self, name: str) -> str:
        """Return a job's status."""
        return str(self.http.get(f"/jobs/{name}/").json().get("status", "none yet"))

    def end(self, name: str) -> None:
        """End a waiting run."""
        (self.folder / name).unlink()

    def gpu(self, name: str) -> str:
        """Return the GPUs that a waiting run sees."""
        return (self.folder / name).read_text()

    def has(self, *names: str) -> bool:
        """Return whether these runs, and no others, are running."""
        return sorted(file.name for file in self.folder.iterdir()) == sorted(names)

    def close(self) -> None:
        """End what is still running."""
        self._pool.shutdown()
        self.http.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "running"
    folder.mkdir()
    agent = EmbeddedAgent(
        data_dir=tmp_path / "data", gpus=2, max_concurrent_runs=8, reserve=0, allow_write=(folder,), grace=1.0
    )
    with agent:
        made = Site(agent, folder)
        yield made
        for file in folder.iterdir():
            file.unlink()
        made.close()


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "the condition was not met within 30 s"
        time.sleep(0.02)


def test_a_run_sees_the_gpus_that_it_has(site: Site) -> None:
    """It sees no others. A run that requests none sees none, nor do its processes."""
    none = site.run("seen").json()
    assert (none["CUDA_VISIBLE_DEVICES"], none["HIP_VISIBLE_DEVICES"]) == ("", "-1")
    assert site.run("child").json() == ""
    assert site.run("seen", num_gpus=2).json()["CUDA_VISIBLE_DEVICES"] == "0,1"
    held = site.hold("first", num_gpus=1)
    wait_until(lambda: site.has("first"))
    assert site.run("child", num_gpus=1).json() == ("1" if site.gpu("first") == "0" else "0")
    site.end("first")
    assert held.result().json() == "first"


def test_a_plugin_can_not_show_itself_gpus(site: Site) -> None:
    """The agent's assignment overrides the plugin's variable; the plugin's number of threads stays."""
    env = {"CUDA_VISIBLE_DEVICES": "7", "OMP_NUM_THREADS": "3"}
    body = {"action": "seen", "config": {"actions": ACTIONS, "env": env}, "modules": {"m": SOURCE}}
    seen = site.http.post("/plugin_releases/run_debug/", json=body).json()
    assert (seen["CUDA_VISIBLE_DEVICES"], seen["OMP_NUM_THREADS"], seen["MKL_NUM_THREADS"]) == ("", "3", "1")
    body["params"] = {"num_gpus": 2}
    assert site.http.post("/plugin_releases/run_debug/", json=body).json()["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_threads_follow_the_cpus(site: Site) -> None:
    """The variables are those of OpenMP and of libraries for linear algebra."""
    one, two = site.run("seen").json(), site.run("seen", num_cpus=usable_cpus()).json()
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    assert [one[name] for name in names] == ["1"] * 3
    assert [two[name] for name in names] == [str(usable_cpus())] * 3


def test_shares_of_a_gpu_are_shared(site: Site) -> None:
    """Two halves use one GPU; another run gets the other one, and the next half is PENDING."""
    runs = [site.hold(f"half-{number}", num_gpus=0.5, num_cpus=0) for number in range(2)]
    wait_until(lambda: site.has("half-0", "half-1"))
    assert site.gpu("half-0") == site.gpu("half-1")
    runs.append(site.hold("whole", num_gpus=1, num_cpus=0))
    wait_until(lambda: site.has("half-0", "half-1", "whole"))
    assert site.gpu("whole") != site.gpu("half-0")
    runs.append(site.hold("half-2", num_gpus=0.5, num_cpus=0))
    wait_until(lambda: site.status("half-2") == "PENDING")
    assert site.run("seen").status_code == 200
    assert site.status("half-2") == "PENDING"
    site.end("half-0")
    wait_until(lambda: site.has("half-1", "half-2", "whole"))
    for name in ("half-1", "half-2", "whole"):
        site.end(name)
    assert all(run.result().status_code == 200 for run in runs)


def test_a_run_that_is_killed_stopped_or_waiting_returns_its_gpus(site: Site) -> None:
    """They are free again after a kill, a `stop_job`, or the end of its wait."""
    assert site.run("die").json()["detail"]["error_type"] == "action_killed"
    running = site.hold("running", num_gpus=2)
    wait_until(lambda: site.has("running"))
    waiting = site.hold("waiting", num_gpus=2)
    wait_until(lambda: site.status("waiting") == "PENDING")
    assert site.http.post("/jobs/waiting/stop/").json()["status"] == "STOPPED"
    assert site.http.post("/jobs/running/stop/").json()["status"] == "STOPPED"
    site.end("running")
    assert {running.result().status_code, waiting.result().status_code} == {409, 500}
    assert site.run("seen", num_gpus=2).json()["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_what_never_fits_is_refused_at_once(site: Site) -> None:
    """This includes jobs, which leave no record; the answer has the existing resources."""
    for job_id in ("task", "job"):
        refused = site.run("huge" if job_id == "job" else "seen", job_id=job_id, num_cpus=64)
        detail = refused.json()["detail"]
        assert (refused.status_code, detail["error_type"]) == (422, "no_node_fits")
        assert detail["resources"]["num_cpus"] == 64
        assert f"{usable_cpus()} CPU" in detail["nodes"][0]
        assert "2 GPUs" in detail["nodes"][0]
        assert site.status(job_id) == "none yet"


def test_large_ones_are_not_overtaken_forever(site: Site) -> None:
    """Although small runs keep coming, the large one starts before later ones."""
    small = [site.hold(f"small-{number}", num_gpus=1, num_cpus=0) for number in range(2)]
    wait_until(lambda: site.has("small-0", "small-1"))
    large = site.hold("large", num_gpus=2, num_cpus=0)
    wait_until(lambda: site.status("large") == "PENDING")
    small.append(site.hold("small-2", num_gpus=1, num_cpus=0))
    wait_until(lambda: site.status("small-2") == "PENDING")
    site.end("small-0")
    time.sleep(0.3)
    assert site.has("small-1")
    site.end("small-1")
    wait_until(lambda: site.has("large"))
    site.end("large")
    wait_until(lambda: site.has("small-2"))
    site.end("small-2")
    assert [run.result().status_code for run in (*small, large)] == [200] * 4


def test_a_call_starts_beside_jobs_that_fill_the_machine(tmp_path: Path) -> None:
    """One of two slots is kept for calls, although two long jobs wait."""
    folder = tmp_path / "running"
    folder.mkdir()
    embedded = EmbeddedAgent(data_dir=tmp_path / "data", gpus=2, max_concurrent_runs=2, allow_write=(folder,))
    with embedded as agent:
        site = Site(agent, folder)
        for name in ("long-0", "long-1"):
            assert site.hold(name, action="train").result().status_code == 202
        wait_until(lambda: len(list(folder.iterdir())) == 1)
        assert site.run("seen", num_gpus=0.5).status_code == 200
        background = site.run("seen", headers={"Prefer": "respond-async"}, job_id="background")
        assert background.status_code == 202
        assert site.run("seen").status_code == 200
        assert site.status("background") == "PENDING"
        (running,) = folder.iterdir()
        running.unlink()
        wait_until(lambda: site.status(running.name) == "SUCCEEDED")
        wait_until(lambda: site.status("background") == "SUCCEEDED" or len(list(folder.iterdir())) == 1)
        for name in ("long-0", "long-1"):
            site.http.post(f"/jobs/{name}/stop/")
        site.close()


def test_a_served_worker_has_its_gpus_until_it_is_idle(tmp_path: Path) -> None:
    """It sees them as a run does; runs wait for them meanwhile, and requests that never fit are refused."""
    config = """
        code: served
        version: 1.0.0
        actions:
          model: {entrypoint: "m:Model", method: serve, serve: {idle: 1.5}, resources: {num_gpus: 2}}
          huge: {entrypoint: "m:Model", method: serve, resources: {num_gpus: 3}}
          wait: {entrypoint: "m:seen", method: job, resources: {num_gpus: 1}}
        """
    main = """
        import os

        def seen():
            return os.environ.get("CUDA_VISIBLE_DEVICES")

        class Model:
            def model(self):
                return seen()
        """
    folder = tmp_path / "plugins" / "served"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(dedent(config))
    (folder / "m.py").write_text(dedent(main))
    with EmbeddedAgent(tmp_path / "plugins", gpus=2) as agent, agent.client() as client:
        client.create_plugin_release("served")
        assert client.run_plugin_release("served@1.0.0", "model") == "0,1"
        client.run_plugin_release("served@1.0.0", "wait", job_id="waits")
        assert client.get_gpu_status()["available_gpus"] == 0
        assert client.get_job("waits")["status"] == "PENDING"
        with pytest.raises(ValidationError, match="no_node_fits"):
            client.run_plugin_release("served@1.0.0", "huge")
        wait_until(lambda: client.get_job("waits")["status"] == "SUCCEEDED")
        assert client.get_job("waits")["result"] in ("0", "1")
        assert client.list_serve_applications() == []


def test_a_higher_priority_goes_first_up_to_the_operators_limit(tmp_path: Path) -> None:
    """This holds for waiting runs; a priority above the limit is refused."""
    folder = tmp_path / "running"
    folder.mkdir()
    embedded = EmbeddedAgent(data_dir=tmp_path / "data", max_concurrent_runs=1, max_priority=3, allow_write=(folder,))
    with embedded as agent:
        site = Site(agent, folder)
        runs = [site.hold("first")]
        wait_until(lambda: site.has("first"))
        for name, priority in [("low", -5), ("normal", None), ("high", 3)]:
            runs.append(site.hold(name, priority=priority))
            wait_until(lambda name=name: site.status(name) == "PENDING")  # type: ignore[misc]
        order = ["first", "high", "normal", "low"]
        for name in order:
            wait_until(lambda name=name: site.has(name))  # type: ignore[misc]
            site.end(name)
        assert [run.result().status_code for run in runs] == [200] * 4
        refused = site.run("seen", priority=4)
        assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["body", "priority"])
        assert "at most 3" in refused.json()["detail"][0]["msg"]
        assert site.run("seen", priority=2000).status_code == 422
        site.close()


@pytest.mark.skipif(not find_gpus(None, os.environ), reason="this machine has no GPU")
def test_a_real_card_is_used(tmp_path: Path) -> None:
    """CUDA's driver sees the run's GPUs by their UUIDs, and none in a run without GPUs."""
    with EmbeddedAgent(data_dir=tmp_path / "data", gpus=1) as agent, agent.client() as client:
        config, modules = {"actions": {"go": "m:go"}}, {"m": COUNTS_CUDA_DEVICES}
        given = client.run_debug_plugin_release("go", {"num_gpus": 1}, config=config, modules=modules)
        without = client.run_debug_plugin_release("go", {}, config=config, modules=modules)
    assert (given, without) == (1, 0)
