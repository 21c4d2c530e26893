"""What a node's actor does, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synapse_agent import __version__
from synapse_agent.plugins.config import PluginConfig
from synapse_agent.runner.base import Params, Run
from synapse_agent.runner.ray_cluster.messages import (
    START,
    Failed,
    Item,
    LogOutput,
    Part,
    SourceMissing,
    Started,
    Succeeded,
)
from synapse_agent.runner.ray_cluster.node.actor import Assignment, Node, node_folder
from synapse_agent.runner.ray_cluster.node.left_jobs import Claim, LeftJobs
from synapse_agent.runner.ray_cluster.placed_jobs import PlacedJob
from synapse_agent.runner.ray_cluster.source_archive import pack
from synapse_agent.settings import Settings, UsageError
from synapse_agent.storage.trees import remove_tree, tree_digest

pytestmark = pytest.mark.anyio

SETTINGS = Settings(plugins=(Path("plugins"),), data_dir=Path("/of-the-agent"), grace=1, sandbox=False)
SOURCE = """
import os
import time
from pathlib import Path

def go(seconds=0):
    print("at work", flush=True)
    time.sleep(seconds)
    Path("left").touch()
    return [os.getcwd(), os.environ["MODE"]]

def fail():
    raise OSError(2, "gone", __file__)
"""
WAITING = """

def wait(go):
    print("waiting", flush=True)
    while not Path(go).exists():
        time.sleep(0.01)
    print("done", flush=True)
    return "waited"
"""
PLACED = PlacedJob(
    job_id="job-7",
    row=7,
    release="p@1",
    action="wait",
    folder="/of-the-agent/p",
    wanted={},
    lane="background",
    gpus=(),
    files=(),
    reservation="group-1",
    node_id="node-1",
    address="127.0.0.1",
)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node that is ready to run."""
    node = Node(tmp_path / "node")
    await node.begin(SETTINGS)
    yield node
    await node.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A plugin's folder on the agent."""
    folder = tmp_path / "agent" / "plugin"
    folder.mkdir(parents=True)
    (folder / "m.py").write_text(SOURCE)
    return folder


def assignment(source: Path, action: str = "go", *, release: str | None = "p@1", **params: Any) -> Assignment:
    actions = {name: {"entrypoint": f"m:{name}"} for name in ("go", "fail")}
    config = PluginConfig.from_mapping({"code": "p", "actions": actions})
    run = Run("job-1", source, config, action, Params.of(params), release=release)
    return Assignment(run, tree_digest(source), {"MODE": "quick"}, "key of nothing")


def job(source: Path, go: Path) -> Assignment:
    actions = {"wait": {"entrypoint": "m:wait", "method": "job"}}
    config = PluginConfig.from_mapping({"code": "p", "actions": actions})
    run = Run("job-7", source, config, "wait", Params.of({"go": str(go)}), release="p@1", accepted=7)
    return Assignment(run, tree_digest(source), {}, "key of nothing", "group-1", outlives=True)


async def greeted(node: Node) -> None:
    while True:
        await node.hear()
        await asyncio.sleep(0.2)


async def arrive(node: Node, source: Path) -> str | None:
    archive = source.with_suffix(".tar")
    pack(source, archive)
    await node.receive(tree_digest(source), archive.read_bytes())
    archive.unlink()
    return await node.complete(tree_digest(source))


async def items_of(node: Node, wanted: Assignment) -> list[Item]:
    return [item async for batch in node.run(wanted) for item in batch]


async def test_a_node_says_its_version_before_anything_else(tmp_path: Path) -> None:
    """It answers before it receives anything that depends on the version."""
    assert await Node(tmp_path).version() == __version__


@pytest.mark.parametrize("option", ["allow_write", "storage_dir", "cache_dir"])
async def test_a_node_that_lacks_a_folder_of_the_operator_reports_it(tmp_path: Path, option: str) -> None:
    """It accepts no runs: each would fail, or store data that other nodes never see."""
    shared = tmp_path / "shared"
    shared.mkdir()
    settings = replace(SETTINGS, **{option: (shared,) if option == "allow_write" else shared})
    shared.rmdir()
    with pytest.raises(UsageError, match=f"--{option.replace('_', '-')} {shared} does not exist"):
        await Node(tmp_path / "node").begin(settings)


async def test_a_release_runs_where_it_has_arrived(node: Node, source: Path) -> None:
    """It has its environment variables; its output is returned."""
    assert await arrive(node, source) is None
    items = await items_of(node, assignment(source))
    assert (items[0], items[-1]) == (Started(), Succeeded())
    assert b"".join(item.data for item in items if isinstance(item, LogOutput)) == b"at work\n"
    [part] = [item.data for item in items if isinstance(item, Part)]
    place = tree_digest(source).removeprefix("sha256:")
    assert part.endswith(f'/node/sources/whole/{place}","quick"]'.encode())


async def test_what_is_not_there_is_missing(node: Node, source: Path) -> None:
    """The answer is `SourceMissing`, and nothing has run."""
    assert await items_of(node, assignment(source)) == [SourceMissing()]


async def test_a_debug_run_gets_a_copy(node: Node, source: Path, tmp_path: Path) -> None:
    """Its files are removed, and the source is unchanged."""
    await arrive(node, source)
    for _ in range(2):
        items = await items_of(node, assignment(source, release=None))
        assert items[-1] == Succeeded()
    digest = tree_digest(source)
    assert tree_digest(tmp_path / "node" / "sources" / "whole" / digest.removeprefix("sha256:")) == digest


async def test_folders_that_are_removed_cost_no_run(node: Node, source: Path, tmp_path: Path) -> None:
    """A running node creates them again; a removed release is sent again."""
    await arrive(node, source)
    for name in ("scratch", "environments", "bytecode", "left", "made", "sources"):
        remove_tree(tmp_path / "node" / name)
        for release in ("p@1", None):
            items = await items_of(node, assignment(source, release=release))
            if items == [SourceMissing()]:
                assert await arrive(node, source) is None
                items = await items_of(node, assignment(source, release=release))
            assert items[-1] == Succeeded(), name
    assert [path.name for path in (tmp_path / "node" / "made").iterdir()] == ["key of nothing"]


async def test_problems_name_the_agents_files(node: Node, source: Path) -> None:
    """The node's own folders stay private."""
    (source / "requirements.txt").write_bytes(b"\xff\n")
    await arrive(node, source)
    [failed] = await items_of(node, assignment(source))
    assert (failed.status, failed.error_type) == (422, "invalid_requirement")
    assert failed.message.startswith("requirements.txt, line 1, is ")
    (source / "requirements.txt").unlink()
    await arrive(node, source)
    failed = (await items_of(node, assignment(source, "fail")))[-1]
    assert "/node/" not in failed.message


async def test_an_archive_that_is_damaged_is_told(node: Node, source: Path) -> None:
    """The driver can send it again."""
    digest = tree_digest(source)
    await node.receive(digest, b"no archive")
    assert "The archive is damaged" in (await node.complete(digest) or "")
    await node.receive(digest, b"no archive")
    await node.abandon(digest)
    assert await arrive(node, source) is None


async def test_a_run_can_be_stopped_in_the_moment_it_comes(node: Node, source: Path) -> None:
    """It is stopped before its first step."""
    await arrive(node, source)
    running = asyncio.ensure_future(anext(node.run(assignment(source, seconds=20))))
    await asyncio.sleep(0)
    await node.stop("job-1")
    [failed] = await asyncio.wait_for(running, 5)
    assert failed.error_type == "action_stopped"


@pytest.mark.parametrize("release", ["p@1", None])
async def test_a_run_can_be_stopped_whatever_it_is_doing(node: Node, source: Path, release: str | None) -> None:
    """It may be copied, started or running; other jobs are not affected."""
    await arrive(node, source)
    for steps in (1, 2, 3, 5, 8, 13, 21, 1000):
        running = asyncio.ensure_future(items_of(node, assignment(source, release=release, seconds=20)))
        for _ in range(steps):
            await asyncio.sleep(0.0005)
        await node.stop("job-2")
        await node.stop("job-1")
        assert (await asyncio.wait_for(running, 10))[-1].error_type == "action_stopped"


async def test_a_node_tells_what_it_has_from_earlier(node: Node, source: Path, tmp_path: Path) -> None:
    """It lists sources and the keys of environments; removed ones are not listed."""
    await arrive(node, source)
    await items_of(node, assignment(source))
    digest = tree_digest(source)
    other = Node(tmp_path / "node")
    stock = await other.begin(SETTINGS)
    assert (stock.digests, stock.environments) == ((digest,), ("key of nothing",))
    await node.forget(digest)
    assert await items_of(node, assignment(source)) == [SourceMissing()]
    await other.close()


async def test_a_node_that_hears_of_no_driver_ends(tmp_path: Path) -> None:
    """Everything that it started ends; as long as messages arrive, it continues."""
    ended = asyncio.Event()
    node = Node(tmp_path / "node", alone_seconds=2, on_alone=ended.set)
    await node.begin(SETTINGS)
    for _ in range(6):
        await asyncio.sleep(0.5)
        await node.hear()
    assert not ended.is_set()
    await asyncio.wait_for(ended.wait(), 5)
    await node.close()


async def test_a_node_without_a_driver_ends_all_but_jobs(source: Path, tmp_path: Path) -> None:
    """It keeps a job's reservation until the job ends; the keeper has log and result for the next actor."""
    ended, released, go = asyncio.Event(), [], tmp_path / "go"
    node = Node(
        tmp_path / "node",
        alone_seconds=2,
        on_alone=ended.set,
        release=lambda kept, *whose: released.append((set(kept), whose)),
    )
    claim = Claim("agent-1", "node-1", frozenset({7}), 60.0)
    await node.begin(SETTINGS, claim)
    (source / "m.py").write_text(SOURCE + WAITING)
    await arrive(node, source)
    call = asyncio.ensure_future(items_of(node, assignment(source, seconds=60)))
    await node.start(job(source, go))
    greeting = asyncio.ensure_future(greeted(node))
    async with asyncio.timeout(20):
        async for items in node.follow(PLACED, START):
            if any(LogOutput(b"waiting\n") == item for item in items):
                break
    greeting.cancel()
    assert (await asyncio.wait_for(call, 20))[-1].error_type == "action_stopped"
    with pytest.raises(RuntimeError, match="no message from its driver for 2 s"):
        await node.hear()
    await asyncio.sleep(1.5)
    assert not ended.is_set()
    assert released[-1] == ({"group-1"}, ("agent-1", "node-1"))
    go.touch()
    await asyncio.wait_for(ended.wait(), 10)
    assert released[-1] == (set(), ("agent-1", "node-1"))
    with pytest.raises(BlockingIOError):  # this process holds the lock of the folder until it ends
        LeftJobs(tmp_path / "node", claim)
    (log,) = (tmp_path / "node" / "agents").rglob("log")
    assert log.read_bytes() == b"waiting\ndone\n"


def test_a_nodes_folder_is_named_by_its_environment(tmp_path: Path) -> None:
    """Without the variable, it is in the user's own folder."""
    assert node_folder({"SYNAPSE_NODE_DIR": str(tmp_path)}) == tmp_path
    assert node_folder({}).name == "node"


def test_a_failure_is_a_problem_again() -> None:
    """The conversion keeps all of its fields."""
    failed = Failed(500, "action_failed", "no", {"job_id": "1"})
    assert Failed.of(failed.problem) == failed
