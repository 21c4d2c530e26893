"""The settings of an agent take effect."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.errors import StartError
from synapse_agent.runner.processes.sandbox import probed

ClientOf = Callable[[EmbeddedAgent], httpx.Client]
LOOK = """
import os, resource
from pathlib import Path
from tempfile import TemporaryDirectory

def limits():
    names = ("RLIMIT_CPU", "RLIMIT_AS", "RLIMIT_FSIZE", "RLIMIT_NPROC")
    return [resource.getrlimit(getattr(resource, name))[0] for name in names]

def write(path):
    Path(path).write_text("written")
"""
BODY = {"config": {"actions": {"limits": "look:limits", "write": "look:write"}}, "modules": {"look": LOOK}}


def debug(http: httpx.Client, action: str, **body: Any) -> httpx.Response:
    return http.post("/plugin_releases/run_debug/", json={"action": action, **BODY, **body})


def test_an_action_gets_no_more_than_it_may_use(plugins: Path, client_of: ClientOf) -> None:
    """These are four limits of the kernel."""
    limits = {"max_cpu_seconds": 7, "max_memory": 2**32, "max_file_size": 2**20, "max_processes": 5000}
    with EmbeddedAgent(plugins, **limits) as agent:
        assert debug(client_of(agent), "limits").json() == list(limits.values())


def test_an_action_has_no_limits_by_default(http: httpx.Client) -> None:
    """No limit fits all plugins."""
    assert debug(http, "limits").json()[:3] == [-1, -1, -1]


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder outside folders for temporary files, which are private to each run."""
    with TemporaryDirectory(dir=Path(__file__).parent, prefix=".elsewhere-") as folder:
        yield Path(folder)


def test_the_sandbox_is_on_by_default(plugins: Path, elsewhere: Path, client_of: ClientOf) -> None:
    """The health check, which needs no token, reports what applies; a denied action gets advice."""
    found = probed(wanted=True)
    with EmbeddedAgent(plugins) as agent:
        http = client_of(agent)
        assert httpx.get(f"{agent.base_url}/health/").json()["sandbox"] == {
            "status": found.status,
            "landlock_abi": found.landlock_abi,
            "restricts": found.restricts,
        }
        answer = debug(http, "write", params={"path": str(elsewhere / "file")})
        if found.status == "active":
            assert answer.status_code == 500
            assert "--allow-write" in answer.json()["detail"]["message"]
            assert not (elsewhere / "file").exists()
    with EmbeddedAgent(plugins, sandbox=False) as agent:
        http = client_of(agent)
        assert httpx.get(f"{agent.base_url}/health/").json()["sandbox"] == {
            "status": "off",
            "landlock_abi": found.landlock_abi,
            "restricts": [],
        }
        assert debug(http, "write", params={"path": str(elsewhere / "file")}).status_code == 200
        assert (elsewhere / "file").read_text() == "written"


def test_an_agent_that_needs_isolation_does_not_start_without(plugins: Path) -> None:
    """The error has the actual level and a link to the docs; requiring the actual level works."""
    found = probed(wanted=True)
    with EmbeddedAgent(plugins, require_isolation=found.level):
        pass
    with (
        pytest.raises(StartError, match="by none only"),
        EmbeddedAgent(plugins, sandbox=False, require_isolation="landlock"),
    ):
        pass
    with (
        pytest.raises(StartError, match="Levels: none, landlock, namespaces"),
        EmbeddedAgent(plugins, require_isolation="all"),
    ):
        pass


def test_a_relative_allow_write_starts_at_the_working_folder(
    plugins: Path, tmp_path: Path, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This is the folder in which the agent was started, although its processes work elsewhere."""
    monkeypatch.chdir(tmp_path)
    Path("allowed").mkdir()
    for allowed in ("allowed", Path("allowed"), ["allowed"]):
        with EmbeddedAgent(plugins, allow_write=allowed) as agent:
            answer = debug(client_of(agent), "write", params={"path": str(tmp_path / "allowed" / "file")})
        assert answer.status_code == 200, answer.text


ZYGOTE_OF_RUN = """
import os

def go():
    with open(f"/proc/{os.getppid()}/stat") as file:
        started = file.read().rpartition(")")[2].split()[19]
    return [os.readlink("/proc/self/ns/pid"), os.getppid(), started]
"""


def test_idle_processes_are_bounded(plugins: Path, client_of: ClientOf, write_plugin: Any) -> None:
    """Of three releases that have run, only the configured number stays ready.

    The test waits until a release's params are described, since that uses its zygote once more.
    """
    for code in ("one", "two", "three"):
        files = {
            "config.yaml": f"code: zygote-{code}\nversion: '1'\nactions: {{go: 'main:go'}}",
            "main.py": ZYGOTE_OF_RUN,
        }
        write_plugin(plugins / f"zygote-{code}", files)
    with EmbeddedAgent(plugins, max_zygotes=1) as agent:
        http = client_of(agent)
        zygotes = []
        for code in ("one", "two", "three", "three", "one"):
            http.post("/plugin_releases/", json={"plugin": f"zygote-{code}", "version": "1"}).raise_for_status()
            zygotes.append(http.post(f"/plugin_releases/zygote-{code}@1/run/", json={"action": "go"}).json())
            until(lambda: "params_schema" in http.get(f"/plugin_releases/zygote-{code}@1/").text)  # noqa: B023
    assert zygotes[2] == zygotes[3]
    assert zygotes[0] != zygotes[4]


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"max_plugin_files": 5}, "more than 5 files (--max-plugin-files)"),
        ({"max_plugin_size": 2**20}, "more than 1 MiB (--max-plugin-size)"),
        ({"max_archive_ratio": 5}, "more than 5 times its own size (--max-archive-ratio)"),
    ],
)
def test_a_plugin_is_no_larger_than_it_may_be(
    tmp_path: Path, client_of: ClientOf, limit: dict[str, int], said: str
) -> None:
    """The answer is 422 with the limit, and its files are removed; by default it is accepted."""
    with ZipFile(tmp_path / "large.zip", "w", 8) as archive:
        archive.writestr("config.yaml", "code: large\nversion: '1'\nactions: {go: 'main:go'}\n")
        for number in range(6):
            archive.writestr(f"pattern{number}", os.urandom(2**14) * 200)
    release = {"plugin": "large", "version": "1"}
    with EmbeddedAgent(tmp_path, data_dir=tmp_path / "data", **limit) as agent:
        answer = client_of(agent).post("/plugin_releases/", json=release)
        assert (answer.status_code, answer.json()["detail"]["error_type"]) == (422, "invalid_archive")
        assert said in answer.json()["detail"]["message"]
        assert [list((tmp_path / "data" / name).iterdir()) for name in ("releases", "tmp")] == [[], []]
    with EmbeddedAgent(tmp_path) as agent:
        assert client_of(agent).post("/plugin_releases/", json=release).status_code == 201


def test_a_debug_source_is_no_larger_than_it_may_be(tmp_path: Path, client_of: ClientOf, write_plugin: Any) -> None:
    """The answer is 422, since it would be copied for each run."""
    write_plugin(tmp_path / "plugin")
    (tmp_path / "plugin" / "data").write_bytes(bytes(2**20))
    with EmbeddedAgent(tmp_path, max_debug_size=2**20) as agent:
        answer = debug(client_of(agent), "go", plugin_path=str(tmp_path / "plugin"))
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (422, "invalid_plugin_path")
    assert "more than 1 MiB" in answer.json()["detail"]["message"]
