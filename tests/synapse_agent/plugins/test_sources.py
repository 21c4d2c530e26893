"""Plugins found in directories."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from synapse_agent.plugins.catalog import CHECKED_SECONDS
from synapse_agent.plugins.sources import DirectorySource, SourceChain
from synapse_agent.problems import Problem

SETTLED_SECONDS = 2.1
"""After this time, a changed file has another time on any file system."""


def fetch(source: DirectorySource | SourceChain, into: Path, *, plugin: str = "small", version: str = "1.0.0") -> str:
    asyncio.run(source.fetch(plugin=plugin, version=version, into=into))
    return (into / "main.py").read_text()


def test_a_directory_may_be_a_plugin_itself(tmp_path: Path, write_plugin: Any) -> None:
    """Users may pass the plugin's folder instead of the folder around it."""
    source = DirectorySource(write_plugin(tmp_path / "small"))
    assert "small@1.0.0" in fetch(source, tmp_path / "target")


def test_a_folder_may_have_any_name(tmp_path: Path, write_plugin: Any) -> None:
    """Its config has the name; hidden folders and other files are ignored."""
    write_plugin(tmp_path / "all" / "whatever")
    write_plugin(tmp_path / "all" / ".hidden")
    (tmp_path / "all" / "README.md").touch()
    assert "small@1.0.0" in fetch(DirectorySource(tmp_path / "all"), tmp_path / "target")


def test_the_first_source_that_has_a_plugin_is_used(tmp_path: Path, write_plugin: Any) -> None:
    """Later ones are only used for what earlier ones lack."""
    write_plugin(tmp_path / "one" / "small", {"config.yaml": "code: small\nversion: 1.0.0", "main.py": "first"})
    write_plugin(tmp_path / "two" / "small")
    write_plugin(tmp_path / "two" / "other", code="other")
    chain = SourceChain([DirectorySource(tmp_path / "one"), DirectorySource(tmp_path / "two")])
    assert fetch(chain, tmp_path / "a") == "first"
    assert "other@1.0.0" in fetch(chain, tmp_path / "b", plugin="other")
    with pytest.raises(Problem) as caught:
        fetch(chain, tmp_path / "c", plugin="none")
    assert caught.value.status == 404


@pytest.mark.parametrize("name", ["broken", "broken-1.0", "broken@1.0", "broken_1.0"])
def test_something_broken_is_known_by_its_name(tmp_path: Path, write_plugin: Any, name: str) -> None:
    """The message names the folder and the fault."""
    write_plugin(tmp_path / "all" / name, {"config.yaml": "code: [broken"})
    with pytest.raises(Problem) as caught:
        fetch(DirectorySource(tmp_path / "all"), tmp_path / "a", plugin="broken", version="1.0")
    assert (caught.value.status, caught.value.error_type) == (422, "invalid_plugin")
    assert caught.value.message.startswith(f"{name}: config.yaml")


def test_a_plugin_that_reaches_out_is_refused(tmp_path: Path, write_plugin: Any) -> None:
    """The answer is 422 with the link."""
    folder = write_plugin(tmp_path / "all" / "small")
    (folder / "out").symlink_to("/etc")
    with pytest.raises(Problem, match="out") as caught:
        fetch(DirectorySource(tmp_path / "all"), tmp_path / "a")
    assert caught.value.error_type == "invalid_plugin"


def test_a_directory_that_is_gone_is_the_agents_fault(tmp_path: Path) -> None:
    """The answer is 502, since nothing was wrong with the request."""
    with pytest.raises(Problem) as caught:
        fetch(DirectorySource(tmp_path / "gone"), tmp_path / "a")
    assert (caught.value.status, caught.value.error_type) == (502, "backend_error")


def test_the_error_for_a_missing_plugin_covers_all_sources(tmp_path: Path, write_plugin: Any) -> None:
    """The answer is 404 with what each of the sources has."""
    for name in ("one", "two"):
        write_plugin(tmp_path / name / name, code=name)
    chain = SourceChain([DirectorySource(tmp_path / "one"), DirectorySource(tmp_path / "two")])
    with pytest.raises(Problem, match=r"plugins: one\..*plugins: two\.") as caught:
        fetch(chain, tmp_path / "a", plugin="other")
    assert caught.value.status == 404


def problem(source: DirectorySource, into: Path, **wanted: str) -> Problem:
    with pytest.raises(Problem) as caught:
        fetch(source, into, **wanted)
    return caught.value


def test_an_alias_is_the_plugin_that_it_names(tmp_path: Path, write_plugin: Any) -> None:
    """A link `demo -> demo-1.0.0` may mark the newest version; two folders of one release are still ambiguous."""
    write_plugin(tmp_path / "all" / "small-1.0.0")
    (tmp_path / "all" / "small").symlink_to("small-1.0.0")
    (tmp_path / "all" / "nowhere").symlink_to("gone")
    source = DirectorySource(tmp_path / "all")
    assert "small@1.0.0" in fetch(source, tmp_path / "a")
    write_plugin(tmp_path / "all" / "copy")
    assert problem(source, tmp_path / "b").error_type == "ambiguous_release"


def test_what_is_broken_spoils_nothing_for_others(tmp_path: Path, write_plugin: Any) -> None:
    """This covers a truncated archive, a pipe, a folder without a config, and an unreadable one."""
    write_plugin(tmp_path / "all" / "small")
    (tmp_path / "all" / "torn.zip").write_bytes(b"PK\x03\x04")
    os.mkfifo(tmp_path / "all" / "pipe.zip")
    (tmp_path / "all" / "empty").mkdir()
    (tmp_path / "all" / "closed").mkdir(mode=0)
    source = DirectorySource(tmp_path / "all")
    assert "small@1.0.0" in fetch(source, tmp_path / "a")
    assert problem(source, tmp_path / "b", plugin="torn").error_type == "invalid_archive"


@pytest.mark.parametrize("settled", [True, False], ids=["long known", "just written"])
def test_what_has_come_or_changed_is_found_at_once(tmp_path: Path, write_plugin: Any, settled: bool) -> None:
    """The source reads a plugin again if it has changed, or if it is too recent to be sure."""
    write_plugin(tmp_path / "all" / "small")
    write_plugin(tmp_path / "all" / "other", code="other")
    if settled:
        time.sleep(SETTLED_SECONDS)
    source = DirectorySource(tmp_path / "all")
    assert "small@1.0.0" in fetch(source, tmp_path / "a")
    write_plugin(tmp_path / "all" / "other", version="1.0.1", code="other")
    assert "other@1.0.1" in fetch(source, tmp_path / "b", plugin="other", version="1.0.1")
    assert problem(source, tmp_path / "c", plugin="other").status == 404
    write_plugin(tmp_path / "all" / "new", code="new")
    assert "new@1.0.0" in fetch(source, tmp_path / "d", plugin="new")
    shutil.rmtree(tmp_path / "all" / "new")
    assert problem(source, tmp_path / "e", plugin="new").status == 404


@pytest.mark.parametrize("which", ["other", "empty"])
def test_a_folder_that_comes_to_claim_a_release_is_noticed_at_once(
    tmp_path: Path, write_plugin: Any, which: str
) -> None:
    """This holds even if the release was just fetched from another folder."""
    write_plugin(tmp_path / "all" / "small")
    write_plugin(tmp_path / "all" / "other", code="other")
    (tmp_path / "all" / "empty").mkdir()
    time.sleep(SETTLED_SECONDS)
    source = DirectorySource(tmp_path / "all")
    assert "small@1.0.0" in fetch(source, tmp_path / "a")
    write_plugin(tmp_path / "all" / which, code="small")
    time.sleep(CHECKED_SECONDS)
    assert problem(source, tmp_path / "b", plugin="small").error_type == "ambiguous_release"


def test_a_changed_archive_is_found_at_once(tmp_path: Path) -> None:
    """The source compares time, size and inode; the name may end in `.ZIP`."""
    (tmp_path / "all").mkdir()
    source = DirectorySource(tmp_path / "all")
    for version in ("1.0.0", "1.0.1"):
        with ZipFile(tmp_path / "all" / "packed.ZIP", "w") as archive:
            archive.writestr("config.yaml", f"code: small\nversion: {version}\n")
            archive.writestr("main.py", version)
        assert fetch(source, tmp_path / version, version=version) == version


def test_a_plugin_among_a_thousand_is_fetched_without_reading_the_others(tmp_path: Path, write_plugin: Any) -> None:
    """The source has read all of them, as at an agent's start; a folder without a plugin makes no difference."""
    for number in range(1000):
        write_plugin(tmp_path / "many" / f"p{number}", {"config.yaml": f"code: p{number}", "main.py": ""})
    for number in range(2):
        write_plugin(tmp_path / "few" / f"p{number}", {"config.yaml": f"code: p{number}", "main.py": ""})
    (tmp_path / "many" / "empty").mkdir()
    time.sleep(SETTLED_SECONDS)
    many, few = DirectorySource(tmp_path / "many"), DirectorySource(tmp_path / "few")

    def opened(source: DirectorySource) -> int:
        """Count the files that are opened for a fetch, and the folders that are listed."""
        calls: list[str] = []

        def note(_frame: object, event: str, function: Any) -> None:
            if event == "c_call" and function.__name__ in ("open", "scandir", "listdir"):
                calls.append(function.__name__)

        threading.setprofile(note)  # for the thread that fetches
        try:
            fetch(source, tmp_path / f"of-{id(source)}", plugin="p1", version="0.1.0")
        finally:
            threading.setprofile(None)  # type: ignore[arg-type]
        return len(calls)

    for source in (many, few):
        asyncio.run(source.look_ahead())
    assert 2 < opened(many) <= opened(few) + 1  # the folder without a plugin


def test_a_plugin_of_the_folders_name_does_not_wait_for_the_look_ahead(tmp_path: Path, write_plugin: Any) -> None:
    """A plugin with another name does; the look-ahead continues after both."""
    for number in range(300):
        write_plugin(tmp_path / "many" / f"p{number}", {"config.yaml": f"code: p{number}", "main.py": ""})
    write_plugin(tmp_path / "many" / "small-1.0.0")
    write_plugin(tmp_path / "many" / "whatever", code="other")
    source = DirectorySource(tmp_path / "many")

    async def check() -> None:
        looking = asyncio.create_task(source.look_ahead())
        await asyncio.sleep(0)
        await source.fetch(plugin="small", version="1.0.0", into=tmp_path / "a")
        assert not looking.done()
        await source.fetch(plugin="other", version="1.0.0", into=tmp_path / "b")
        await looking

    asyncio.run(check())
    write_plugin(tmp_path / "many" / "copy")
    assert problem(source, tmp_path / "c").error_type == "ambiguous_release"
