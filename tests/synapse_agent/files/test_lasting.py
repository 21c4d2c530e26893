"""What outlives a plugin's runs: its storage and its caches."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from synapse_agent.files.lasting import LastingFolders, PluginFolders, PluginStorage, folder_name

pytestmark = pytest.mark.anyio
MIB = 2**20


def storage(
    root: Path, *, stored: int = 10 * MIB, cached: int = 10 * MIB, cache_dir: Path | None = None
) -> tuple[LastingFolders, PluginStorage]:
    """Return the lasting folders below a data folder."""
    folders = LastingFolders(root, cache_dir=cache_dir)
    return folders, PluginStorage(folders, most_stored=stored, most_cached=cached)


async def used(
    plugins: PluginStorage, code: str, *, is_debug: bool = False, write: int = 0, cache: int = 0
) -> PluginFolders:
    """Use a plugin's folders as a run does, and return them."""
    async with plugins.use(code, is_debug=is_debug) as folders:
        (folders.storage / "model").write_bytes(bytes(write))
        (folders.cache / "weights").write_bytes(bytes(cache))
        return folders


async def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("code", ["my_plugin", "a/b", "..", ".", "+a", "한 글", "a%2Fb", "A"])
def test_each_code_has_a_folder_of_its_own(code: str) -> None:
    """Every folder is below the root, and debug runs have other folders."""
    name, debug = folder_name(code, is_debug=False), folder_name(code, is_debug=True)
    assert name != debug
    for each in (name, debug):
        assert Path("/root", each).resolve().parent == Path("/root")


async def test_what_is_stored_stays_for_the_next_run(tmp_path: Path) -> None:
    """Releases and debug runs of a plugin have separate storages."""
    folders, plugins = storage(tmp_path)
    first = await used(plugins, "p", write=5)
    again = await used(plugins, "p", write=7)
    assert (first.storage, first.cache) == (again.storage, again.cache)
    debug = await used(plugins, "p", is_debug=True)
    assert debug.storage != first.storage
    assert debug.cache != first.cache
    assert first.env["HF_HOME"] == f"{first.cache}/huggingface"
    assert [(each.plugin, each.is_debug) for each in folders.storages()] == [("p", True), ("p", False)]
    await plugins.close()


async def test_a_full_storage_can_only_be_read(tmp_path: Path) -> None:
    """It is read-only as soon as it has been measured, and for later agents, too."""
    _, plugins = storage(tmp_path, stored=MIB)
    assert not (await used(plugins, "p", write=2 * MIB)).is_full
    await until(lambda: plugins._plugins["p"].size > MIB)
    folders = await used(plugins, "p", write=2 * MIB)
    assert (folders.is_full, folders.writable) == (True, (folders.cache,))
    await plugins.close()
    later_folders, later = storage(tmp_path, stored=MIB)
    assert (await used(later, "p", write=2 * MIB)).is_full
    await later.close()
    assert later_folders.remove(later_folders.storages()[0])
    _, cleared = storage(tmp_path, stored=MIB)
    assert not (await used(cleared, "p")).is_full
    await cleared.close()


async def test_folders_in_use_are_not_removed(tmp_path: Path) -> None:
    """Folders that a run uses stay; the folder that is created after a removal differs from the previous one."""
    folders, plugins = storage(tmp_path)
    async with plugins.use("p", is_debug=False) as given:
        before = given.identity
        (found,) = folders.storages()
        assert found.in_use
        assert not folders.remove(found)
    (found,) = folders.storages()
    assert not found.in_use
    keeps_its_number = (found.path / "file").open("w")
    descriptor = os.open(found.path, os.O_RDONLY)
    assert folders.remove(found)
    async with plugins.use("p", is_debug=False) as given:
        assert given.identity != before
    os.close(descriptor)
    keeps_its_number.close()
    await plugins.close()


async def test_the_least_recently_used_cache_makes_room(tmp_path: Path) -> None:
    """Caches in use, and storages, are never removed."""
    folders, plugins = storage(tmp_path, cached=3 * MIB)
    for age, code in ((30, "old"), (20, "newer")):
        await used(plugins, code, cache=MIB, write=MIB)
        lock = folders.lock_file(code)
        os.utime(lock, (lock.stat().st_mtime - age * 3600,) * 2)
    async with plugins.use("busy", is_debug=False) as busy:
        (busy.cache / "weights").write_bytes(bytes(3 * MIB // 2))
        await used(plugins, "last", cache=1000)
        await until(lambda: "old" not in [each.plugin for each in folders.caches()])
        assert [each.plugin for each in folders.caches()] == ["busy", "last", "newer"]
    assert len(folders.storages()) == 4
    await plugins.close()


async def test_one_cache_for_all_is_the_operators(tmp_path: Path) -> None:
    """The agent removes nothing in it."""
    shared = tmp_path / "shared"
    folders, plugins = storage(tmp_path, cached=1, cache_dir=shared)
    given = [await used(plugins, code, cache=MIB) for code in ("a", "b")]
    assert {each.cache for each in given} == {shared}
    await plugins.close()
    assert folders.caches() == []
    assert (shared / "weights").stat().st_size == MIB
