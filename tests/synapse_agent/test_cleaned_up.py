"""Folders that are removed while their agent runs: the agent notices, and creates them again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import repeat
from pathlib import Path

import httpx
import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.plugins import integrity
from synapse_agent.storage.trees import tree_digest

BYTES = {"Content-Type": "application/octet-stream"}
SOURCE = """
import time
from pathlib import Path

def go(seconds=0):
    (Path.home() / "x").touch()
    time.sleep(seconds)
    return 1
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """Return a folder with a plugin that writes a file to its HOME."""
    folder = tmp_path / "plugins" / "plain"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("code: plain\nversion: 1.0.0\nactions: {go: {entrypoint: 'm:go'}}\n")
    (folder / "m.py").write_text(SOURCE)
    return folder.parent


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the agent check files before each run."""
    monkeypatch.setattr(integrity, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(integrity, "_PER_CHECK", 0)


@pytest.fixture
def http(plugins: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """Return a client of an agent that has run the plugin."""
    with EmbeddedAgent(plugins, data_dir=tmp_path / "data") as agent:
        headers = {"Authorization": agent.token}
        with httpx.Client(base_url=agent.base_url, headers=headers, timeout=60, trust_env=False) as http:
            http.post("/plugin_releases/", json={"plugin": "plain", "version": "1.0.0"}).raise_for_status()
            assert (run(http).json(), debug(http).json()) == (1, 1)
            yield http


def run(http: httpx.Client, seconds: float = 0) -> httpx.Response:
    """Run the release."""
    return http.post("/plugin_releases/plain@1.0.0/run/", json={"action": "go", "params": {"seconds": seconds}})


def debug(http: httpx.Client) -> httpx.Response:
    """Run an action from its source."""
    body = {"action": "go", "config": {"actions": {"go": "m:go"}}, "modules": {"m": "def go():\n    return 1\n"}}
    return http.post("/plugin_releases/run_debug/", json=body)


@pytest.mark.parametrize(
    "names",
    [
        *(["scratch"], ["environments"], ["bytecode"], ["tmp"], ["debug"], ["files"]),
        ["scratch", "environments", "bytecode", "tmp", "debug", "files", "jobs", "locks", "plugin-locks", "storage"],
    ],
)
def test_folders_that_are_removed_are_made_again(http: httpx.Client, tmp_path: Path, names: list[str]) -> None:
    """The test removes them twice, like a cleanup job of the system."""
    for content in (b"one", b"two"):
        for name in names:
            shutil.rmtree(tmp_path / "data" / name, ignore_errors=True)
        assert [run(http).text, debug(http).text, run(http).text] == ["1", "1", "1"]
        assert http.put(f"/files/{sha256(content).hexdigest()}/content/", content=content, headers=BYTES).is_success


@pytest.mark.parametrize("name", ["scratch", "releases", "tmp", "storage", "environments", "bytecode", "jobs", "debug"])
def test_a_file_in_the_place_of_a_folder_is_named(http: httpx.Client, tmp_path: Path, name: str) -> None:
    """What needs the folder is refused until the file is removed, and nothing fails inside the agent."""
    shutil.rmtree(tmp_path / "data" / name)
    (tmp_path / "data" / name).touch()
    deletion = http.delete("/plugin_releases/plain@1.0.0/")
    creation = http.post("/plugin_releases/", json={"plugin": "plain", "version": "1.0.0"})
    for answer in (deletion, creation, run(http), debug(http)):
        if not answer.is_success and answer.status_code != 404:
            detail = answer.json()["detail"]
            assert (answer.status_code, detail["error_type"]) == (503, "unavailable")
            assert str(tmp_path / "data" / name) in detail["message"] or name == "debug"
    assert deletion.is_success
    (tmp_path / "data" / name).unlink(missing_ok=True)
    http.post("/plugin_releases/", json={"plugin": "plain", "version": "1.0.0"}).raise_for_status()
    assert [run(http).text, debug(http).text] == ["1", "1"]


def test_runs_are_refused_whose_records_would_be_lost(http: httpx.Client, tmp_path: Path) -> None:
    """Without its database, the agent returns the results of unfinished runs, and accepts no new ones."""
    with ThreadPoolExecutor() as pool:
        running = pool.submit(run, http, 1)
        while http.get("/health/").json()["running"] == 0:
            time.sleep(0.01)
        for each in (tmp_path / "data").iterdir():
            if each.is_file():
                each.unlink()
            elif each.name != "scratch":  # in which the run may be about to write
                shutil.rmtree(each, ignore_errors=True)
        for answer in (run(http), debug(http), http.get("/health/ready")):
            assert (answer.status_code, answer.json()["detail"]["error_type"]) == (503, "unavailable")
            assert "agent.sqlite3 was removed or replaced" in answer.json()["detail"]["message"]
        assert running.result().json() == 1


def test_what_is_in_scratch_can_be_removed(http: httpx.Client, tmp_path: Path) -> None:
    """This covers the agent's folder, that of a zygote, and those of the next runs."""
    for pattern in ("scratch/*/*/*", "scratch/*/*", "scratch/*"):
        for path in list((tmp_path / "data").glob(pattern)):
            shutil.rmtree(path, ignore_errors=True)
        assert [run(http).text, debug(http).text, run(http).text] == ["1", "1", "1"]


def test_runs_end_whose_folders_are_removed(http: httpx.Client, tmp_path: Path) -> None:
    """There are so many runs that their keeper creates no folders ahead until the first one has ended."""
    lengths = [1.5 + number for number in range(max(2, len(os.sched_getaffinity(0))))]
    with ThreadPoolExecutor(len(lengths)) as pool:
        answers = pool.map(run, repeat(http), lengths)
        time.sleep(0.75)
        shutil.rmtree(tmp_path / "data" / "scratch", ignore_errors=True)
        assert [answer.text for answer in answers] == ["1"] * len(lengths)
    assert [run(http).text, debug(http).text] == ["1", "1"]


def release(tmp_path: Path) -> Path:
    """Return the folder of the release."""
    (folder,) = (tmp_path / "data" / "releases").iterdir()
    return folder


def changed(folder: Path) -> None:
    (folder / "m.py").write_text("from pathlib import Path\ndef go():\n    return 2\n")


def changed_without_a_trace(folder: Path) -> None:
    before = (folder / "m.py").stat()
    text = (folder / "m.py").read_text().replace("return 1", "return 2")
    (folder / "m.py").write_text(text)
    os.utime(folder / "m.py", ns=(before.st_atime_ns, before.st_mtime_ns))


def added(folder: Path) -> None:
    (folder / "pathlib.py").write_text("raise SystemExit(5)\n")


def made_executable(folder: Path) -> None:
    (folder / "m.py").chmod(0o755)


CHANGES = [changed, changed_without_a_trace, added, made_executable, lambda folder: (folder / "m.py").unlink()]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("change", [*CHANGES, shutil.rmtree, lambda folder: shutil.rmtree(folder.parent)])
def test_a_release_that_was_changed_on_disk_is_fetched_anew(
    http: httpx.Client, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """This covers all kinds of changes; the zygote, which has read the old files, ends."""
    assert run(http).text == "1"
    change(release(tmp_path))
    assert [run(http).text for _ in range(2)] == ["1", "1"]


def test_a_release_that_is_gone_is_noticed_at_once(http: httpx.Client, tmp_path: Path) -> None:
    """The next run notices, as does the next create."""
    for call in (run, lambda http: http.post("/plugin_releases/", json={"plugin": "plain", "version": "1.0.0"})):
        shutil.rmtree(release(tmp_path))
        assert call(http).status_code == 200
        assert (release(tmp_path) / "m.py").exists()


def test_a_changed_release_without_its_source_is_refused(http: httpx.Client, tmp_path: Path, plugins: Path) -> None:
    """Nothing runs, and the message has the fix."""
    shutil.rmtree(plugins / "plain")
    shutil.rmtree(release(tmp_path))
    for _ in range(2):
        refused = run(http)
        assert (refused.status_code, refused.json()["detail"]["error_type"]) == (409, "release_damaged")
    assert "Delete the release and create it again." in refused.json()["detail"]["message"]


def test_a_copy_of_the_files_is_as_good(tmp_path: Path) -> None:
    """A restored backup has other inodes and times, but the same content."""
    first, second = tmp_path / "first", tmp_path / "release"
    first.mkdir()
    (first / "m.py").write_text("1")
    shutil.copytree(first, second)
    digest = tree_digest(second)
    marks = integrity.Integrity(tmp_path / "marks")
    assert marks.is_due(second)
    assert marks.check(second, digest)
    assert not marks.is_due(second)
    shutil.rmtree(second)
    shutil.copytree(first, second)
    assert marks.is_due(second)
    assert marks.check(second, digest)
    (second / "m.py").write_text("2")
    assert not marks.check(second, digest)
    assert integrity.Integrity(tmp_path / "marks").is_due(second)
