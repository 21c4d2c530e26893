"""What an agent reports about its machine, and how often it measures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.cli.program import run
from synapse_agent.problems import Problem
from synapse_agent.runner.resources.gpus import NVIDIA, Gpu
from synapse_agent.runner.resources.reports import Amount, NodeGpuReport, NodeMonitor, NodeReport
from synapse_agent.util.cpus import usable_cpus
from synapse_agent.util.memory import usable_memory
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import NotFoundError

HOLDS = """
import time
from pathlib import Path

def go(path, **params):
    Path(path).touch()
    while Path(path).exists():
        time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def gpu_agent(folder: Path) -> Iterator[EmbeddedAgent]:
    with EmbeddedAgent(data_dir=folder / "data", gpus=2, allow_write=(folder,)) as running:
        yield running


@pytest.fixture
def client(gpu_agent: EmbeddedAgent) -> Iterator[AgentClient]:
    with gpu_agent.client() as made:
        yield made


def test_a_machine_is_one_node(client: AgentClient) -> None:
    """The report has its resources, and those that runs use: none yet."""
    (node,) = client.list_nodes()
    assert (node["node_id"], node["state"], node["is_head_node"]) == ("local", "ALIVE", True)
    assert node["cpu"] == {"total": usable_cpus(), "used": 0, "available": usable_cpus()}
    assert node["memory"]["total"] == usable_memory()
    assert [(gpu["index"], gpu["uuid"], gpu["used"]) for gpu in node["gpus"]] == [(0, "0", 0), (1, "1", 0)]
    assert client.get_node("local") == node
    with pytest.raises(NotFoundError, match=r"The node .other. was not found") as caught:
        client.get_node("other")
    assert caught.value.error_type == "node_not_found"


def test_what_runs_have_is_counted(client: AgentClient, folder: Path) -> None:
    """A report may be some seconds old, unless the caller requests a new one."""
    path = folder / "running"
    params = {"path": str(path), "num_gpus": 0.5, "num_cpus": 1, "memory": 2**20}
    config, modules = {"actions": {"go": "m:go"}}, {"m": HOLDS}
    client.run_debug_plugin_release("go", params, config=config, modules=modules, job_id="held", background=True)
    until(path.exists)
    found = client.get_cluster_resources(use_cache=False)
    assert (found["cpu"]["used"], found["memory"]["used"], found["running_jobs"]) == (1, 2**20, 1)
    assert (found["gpu"]["total_gpus"], found["gpu"]["available_gpus"]) == (2, 1.5)
    assert found["node_counts"] == {"total": 1, "alive": 1, "dead": 0}
    assert client.get_cluster_resources()["collected_at"] == found["collected_at"]
    status = client.get_gpu_status()
    assert [(gpu["node_id"], gpu["used"]) for gpu in status["gpus"]] == [("local", 0.5), ("local", 0)]
    assert (status["max_utilization"], status["total_memory_bytes"]) == (None, None)
    path.unlink()
    client.wait_for_job("held")
    assert client.get_cluster_resources(False)["gpu"]["available_gpus"] == 2


@pytest.mark.anyio
async def test_the_asynchronous_client_has_them_too(gpu_agent: EmbeddedAgent) -> None:
    async with gpu_agent.async_client() as client:
        (node,) = await client.list_nodes()
        assert await client.get_node(node["node_id"]) == node
        assert (await client.get_gpu_status())["total_gpus"] == 2
        assert (await client.get_cluster_resources())["nodes"] == [node]


@pytest.mark.parametrize(
    ("command", "shown"),
    [("nodes", '"node_id": "local"'), ("gpus", '"total_gpus": 2'), ("doctor", "and 2 GPUs; 0 jobs are running")],
)
def test_the_commands_show_them(
    command: str,
    shown: str,
    gpu_agent: EmbeddedAgent,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They print JSON; `doctor` prints text."""
    monkeypatch.setenv("SYNAPSE_AGENT_URL", gpu_agent.base_url)
    monkeypatch.setenv("SYNAPSE_AGENT_TOKEN", gpu_agent.token or "")
    run([command, "--json"])
    assert shown in capsys.readouterr().out


CARD = Gpu("GPU-a", NVIDIA, "Card", memory_total=1000 * 2**20, memory_used=250 * 2**20, utilization=40)
IDLE = Gpu("GPU-b", NVIDIA, "Card", memory_total=1000 * 2**20, memory_used=0, utilization=0)


class Cluster:
    """Two nodes, one of them lost; it counts requests, and may not answer."""

    def __init__(self) -> None:
        self.looks = 0
        self.is_silent = False

    async def node_reports(self) -> Sequence[NodeReport]:
        self.looks += 1
        await asyncio.sleep(0.01)
        if self.is_silent:
            raise Problem(503, "cluster_unavailable", "The head does not answer.")
        gpus = (NodeGpuReport(CARD), NodeGpuReport(IDLE))
        there = NodeReport(
            node_id="n1", host_name="one", ip="10.0.0.1", cpu=Amount(4, 1), num_gpus=Amount(2, 1), gpus=gpus
        )
        return [there, NodeReport(node_id="n2", host_name="two", ip="10.0.0.2", is_alive=False, cpu=Amount(8))]


@pytest.mark.anyio
async def test_nodes_that_are_alive_are_summed() -> None:
    """Memory is a sum in bytes, and in MB for each node; their use is a maximum and an average."""
    found = await NodeMonitor(Cluster()).cluster()
    assert (found["cpu"], found["node_counts"]) == (
        {"total": 4, "used": 1, "available": 3},
        {"total": 2, "alive": 1, "dead": 1},
    )
    assert found["gpu"] == {
        "total_gpus": 2,
        "available_gpus": 1,
        "total_memory_bytes": 2000 * 2**20,
        "available_memory_bytes": 1750 * 2**20,
        "max_utilization": 40,
        "avg_utilization": 20,
    }
    first, second = found["nodes"]
    assert (first["accelerator_type"], first["gpus"][0]["memory_used"]) == ("Card", 250)
    assert (second["state"], second["gpus"]) == ("DEAD", [])


@pytest.mark.anyio
async def test_many_callers_are_one_look() -> None:
    """Callers during a measurement wait for its result; a caller that skips the cache starts another one."""
    cluster = Cluster()
    monitor = NodeMonitor(cluster)
    await asyncio.gather(*(monitor.nodes() for _ in range(20)))
    await monitor.nodes()
    assert cluster.looks == 1
    await monitor.nodes(use_cache=False)
    assert cluster.looks == 2


@pytest.mark.anyio
async def test_a_cluster_that_is_silent_leaves_the_last_figures() -> None:
    """They are marked as stale; without any, the caller gets the reason."""
    cluster = Cluster()
    monitor = NodeMonitor(cluster)
    cluster.is_silent = True
    with pytest.raises(Problem, match="The head does not answer"):
        await monitor.cluster()
    cluster.is_silent = False
    fresh = await monitor.cluster()
    cluster.is_silent = True
    stale = await monitor.cluster(use_cache=False)
    assert (fresh["stale"], stale["stale"]) == (False, True)
    assert stale["collected_at"] == fresh["collected_at"]
    cluster.is_silent = False
    assert (await monitor.cluster())["stale"] is False
