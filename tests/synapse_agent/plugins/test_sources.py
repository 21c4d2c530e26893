"""Plugins found in directories."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from synapse_agent.plugins.sources import DirectorySource, SourceChain
from synapse_agent.problems import Problem


def fetch(source: DirectorySource | SourceChain, into: Path, *, plugin: str = "small", version: str = "1.0.0") -> str:
    asyncio.run(source.fetch(plugin=plugin, version=version, into=into))
    return (into / "main.py").read_text()


def test_a_directory_may_be_a_plugin_itself(tmp_path: Path, write_plugin: Any) -> None:
    """For whoever names the plugin instead of the folder around it."""
    source = DirectorySource(write_plugin(tmp_path / "small"))
    assert "small@1.0.0" in fetch(source, tmp_path / "target")


def test_a_folder_may_have_any_name(tmp_path: Path, write_plugin: Any) -> None:
    """What counts is its config; hidden folders and other files are passed over."""
    write_plugin(tmp_path / "all" / "whatever")
    write_plugin(tmp_path / "all" / ".hidden")
    (tmp_path / "all" / "README.md").touch()
    assert "small@1.0.0" in fetch(DirectorySource(tmp_path / "all"), tmp_path / "target")


def test_the_first_source_that_has_a_plugin_gives_it(tmp_path: Path, write_plugin: Any) -> None:
    """Later ones are asked for what the earlier ones lack."""
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
    """422 names the link."""
    folder = write_plugin(tmp_path / "all" / "small")
    (folder / "out").symlink_to("/etc")
    with pytest.raises(Problem, match="out") as caught:
        fetch(DirectorySource(tmp_path / "all"), tmp_path / "a")
    assert caught.value.error_type == "invalid_plugin"


def test_a_directory_that_is_gone_is_the_agents_fault(tmp_path: Path) -> None:
    """502: nothing was wrong with the request."""
    with pytest.raises(Problem) as caught:
        fetch(DirectorySource(tmp_path / "gone"), tmp_path / "a")
    assert (caught.value.status, caught.value.error_type) == (502, "backend_error")


def test_what_no_source_has_is_told_of_all_of_them(tmp_path: Path, write_plugin: Any) -> None:
    """The 404 names what each of the sources has."""
    for name in ("one", "two"):
        write_plugin(tmp_path / name / name, code=name)
    chain = SourceChain([DirectorySource(tmp_path / "one"), DirectorySource(tmp_path / "two")])
    with pytest.raises(Problem, match=r"plugins there are: one\..*plugins there are: two\.") as caught:
        fetch(chain, tmp_path / "a", plugin="other")
    assert caught.value.status == 404
