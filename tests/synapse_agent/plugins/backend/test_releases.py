"""Releases from a backend, through a whole agent and its clients."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from backends import answer, plugin_zip, record, release, send
from faults import FaultServer, Step

from synapse_agent import EmbeddedAgent
from synapse_agent.settings import UsageError
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import NotFoundError, ServerError, ValidationError

TOKEN = "very-secret-token"
ZIP = plugin_zip()
MISSING = send(status="404 Not Found")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The agent's data folder."""
    return tmp_path / "data"


@pytest.fixture
def start(data: Path) -> Iterator[Callable[..., tuple[FaultServer, AgentClient]]]:
    """Start a backend that plays a script and an agent that fetches from it; yield the backend and a client."""
    with ExitStack() as stack:

        def start(*script: Step, **settings: Any) -> tuple[FaultServer, AgentClient]:
            server = stack.enter_context(FaultServer(script))
            agent = EmbeddedAgent(backend=server.base_url, backend_token=TOKEN, data_dir=data, **settings)
            stack.enter_context(agent)
            return server, stack.enter_context(agent.client(max_retries=0))

        yield start


def left(data: Path) -> list[Path]:
    return [*(data / "releases").iterdir(), *(data / "tmp").iterdir()]


def test_a_release_from_a_backend_is_created_run_and_deleted(start: Any, data: Path) -> None:
    """It is fetched once, runs like any other, and can be fetched again after its deletion."""
    server, client = start(*release(ZIP), *release(ZIP))
    created = client.create_plugin_release("small", "1.0.0")
    assert (created["plugin"], created["version"]) == ("small", "1.0.0")
    assert client.create_plugin_release("small", "1.0.0") == created
    assert client.run_plugin_release("small@1.0.0", "go") == "from a backend"
    assert len(server.received) == 2
    client.delete_plugin_release("small@1.0.0")
    assert left(data) == []
    assert client.create_plugin_release("small", "1.0.0")["digest"] == created["digest"]
    assert server.left == []


def test_ten_callers_at_once_lead_to_one_download(start: Any, data: Path) -> None:
    """All get the same release."""
    server, client = start(
        Step(lambda: answer(record(ZIP)), seconds=0.2), Step(lambda: answer(ZIP), seconds=0.2), max_concurrent_runs=1
    )
    with ThreadPoolExecutor(10) as pool:
        created = list(pool.map(lambda _: client.create_plugin_release("small", "1.0.0"), range(10)))
    assert len({each["id"] for each in created}) == 1
    assert len(server.received) == 2
    assert len(left(data)) == 1


def test_after_each_failure_the_next_call_tries_again(start: Any, data: Path) -> None:
    """A 502 leaves nothing behind, and the agent does not remember it."""
    failures = [
        [send(status="500 Oh")],
        [send(status="401 Unauthorized")],
        [send(record(ZIP)), Step(lambda: answer(ZIP), fault="close", after=-100)],
        [send(record(ZIP)), send(b"x" * len(ZIP))],
        [send(record(b"no zip")), send(b"no zip")],
    ]
    _, client = start(*[step for failure in failures for step in failure], *release(ZIP))
    for _ in failures:
        with pytest.raises(ServerError) as caught:
            client.create_plugin_release("small", "1.0.0")
        assert (caught.value.status_code, caught.value.error_type) == (502, "backend_error")
        assert TOKEN not in str(caught.value.detail)
        assert left(data) == []
        assert client.list_plugin_releases(list_all=True) == ([], 0)
    client.create_plugin_release("small", "1.0.0")
    assert client.run_plugin_release("small@1.0.0", "go") == "from a backend"


def test_a_client_that_retries_does_not_notice_a_failure_that_passes(start: Any) -> None:
    """The client repeats a create after 502."""
    _, client = start(send(status="503 Busy"), *release(ZIP))
    client.with_options(max_retries=2).create_plugin_release("small", "1.0.0")


def test_what_was_fetched_must_be_what_was_asked_for(start: Any, data: Path) -> None:
    """The answer is 422 with both names, as for a plugin from a folder, and nothing is cached."""
    _, client = start(*release(plugin_zip("other", "2")))
    with pytest.raises(ValidationError, match=r"fetched as small@1\.0\.0 is other@2") as caught:
        client.create_plugin_release("small", "1.0.0")
    assert caught.value.error_type == "invalid_plugin"
    assert left(data) == []


def test_folders_are_asked_before_the_backend(start: Any, tmp_path: Path, write_plugin: Any) -> None:
    """A plugin in a folder needs no reachable backend; if both lack a plugin, the message names both."""
    write_plugin(tmp_path / "plugins" / "small")
    server, client = start(MISSING, Step(fault="close"), plugins=tmp_path / "plugins")
    client.create_plugin_release("small", "1.0.0")
    assert client.run_plugin_release("small@1.0.0", "go") == "small@1.0.0"
    assert server.received == []
    with pytest.raises(NotFoundError) as missing:
        client.create_plugin_release("none", "1.0.0")
    assert missing.value.message == (
        f"'none@1.0.0' was not found. Available plugins: small. The backend {server.base_url} has no 'none@1.0.0'."
    )
    with pytest.raises(ServerError, match="its record got no valid HTTP response") as down:
        client.create_plugin_release("none", "1.0.0")
    assert down.value.status_code == 502


def test_slow_downloads_keep_no_one_from_what_a_folder_has(tmp_path: Path, write_plugin: Any) -> None:
    """Any number of downloads may be slow."""
    write_plugin(tmp_path / "plugins" / "small")
    with ThreadPoolExecutor(40) as pool, FaultServer([Step(fault="stall")] * 40) as server, ExitStack() as stack:
        agent = stack.enter_context(EmbeddedAgent(tmp_path / "plugins", backend=server.base_url))
        client = stack.enter_context(agent.client(max_retries=0))
        waiting = [pool.submit(client.create_plugin_release, "slow", str(number)) for number in range(40)]
        while server.left:
            time.sleep(0.01)
        client.create_plugin_release("small", "1.0.0")
        assert client.run_plugin_release("small@1.0.0", "go") == "small@1.0.0"
        assert not any(each.done() for each in waiting)


@pytest.mark.parametrize(
    "script", [[Step(fault="stall")], [send(record(ZIP)), Step(lambda: answer(ZIP), fault="stall", after=-9)]]
)
def test_an_agent_that_stops_ends_its_downloads(data: Path, script: list[Step]) -> None:
    """They end at once; their callers get 503, and no files are left."""
    with FaultServer(script) as server, ThreadPoolExecutor(1) as pool:
        with EmbeddedAgent(backend=server.base_url, backend_token=TOKEN, data_dir=data) as agent:
            client = agent.client(max_retries=0)
            waiting = pool.submit(client.create_plugin_release, "small", "1.0.0")
            while server.left:
                time.sleep(0.01)
            began = time.monotonic()
        assert time.monotonic() - began < 20  # less than a download may be silent
        with pytest.raises(ServerError, match="shutting down and fetches no releases") as caught:
            waiting.result()
        assert (caught.value.status_code, caught.value.error_type) == (503, "unavailable")
        client.close()
    assert left(data) == []


def test_settings_of_a_backend_are_checked_together() -> None:
    """A token needs a backend, an address must be valid, and a limit must be more than 0."""
    with pytest.raises(UsageError, match="backend token needs a backend"):
        EmbeddedAgent(".", backend_token=TOKEN).__enter__()
    with pytest.raises(UsageError, match="must be an http or https URL"):
        EmbeddedAgent(backend="host").__enter__()
    with pytest.raises(UsageError, match="max_archive_bytes must be more than 0, not -1"):
        EmbeddedAgent(backend="http://host", max_archive_bytes=-1).__enter__()
