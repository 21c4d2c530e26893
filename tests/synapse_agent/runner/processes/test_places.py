"""The folders of runs: they are created ahead, removed later, and never used by two runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from synapse_agent.runner.keeper.places import Places
from synapse_agent.runner.synapse_worker.view import MountPoint

AHEAD = 2


class Place:
    """A zygote's folder, and the numbers of the runs whose folders are left to the agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.used: list[int] = []
        self.places = Places(str(folder), self.used.append, temporary=2, ahead=AHEAD)

    def take(self) -> tuple[int, list[Path]]:
        number, folders = self.places.take()
        return number, [Path(folder) for folder in folders]

    def be_idle(self) -> None:
        """Do what a keeper does between runs."""
        while self.places.work():
            pass
        while self.places.have_empty:
            self.places.remove_one()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return an empty one."""
    return Place(tmp_path)


def test_a_run_gets_folders_that_were_made_ahead(place: Place) -> None:
    """Each folder is used once; if all are used, a new one is created."""
    place.be_idle()
    there = {path.stem for path in place.folder.iterdir()}
    taken = [place.take() for _ in range(AHEAD + 1)]
    assert [str(number) in there for number, _ in taken] == [True, True, False]
    assert len({number for number, _ in taken}) == AHEAD + 1
    assert all(folder.is_dir() for _, folders in taken for folder in folders)


def test_empty_folders_are_removed_once_no_run_comes(place: Place) -> None:
    """Removal is slow on a disk, so it waits while runs come; each run still gets new folders."""
    number, (home, *_) = place.take()
    place.places.leave(number)
    while place.places.work():
        pass
    assert home.is_dir()
    assert place.places.have_empty
    assert place.take()[0] != number
    place.be_idle()
    assert not list(place.folder.glob(f"{number}*"))
    assert place.used == []


@pytest.mark.parametrize("which", [0, 1, 2])
def test_used_folders_are_left_to_the_agent_at_once(place: Place, which: int) -> None:
    """A folder with content may be large."""
    number, folders = place.take()
    (folders[which] / "file").write_text("x")
    place.places.leave(number)
    while place.places.work():
        pass
    assert place.used == [number]


def test_a_run_cannot_hide_what_it_leaves(place: Place) -> None:
    """A run can reset a folder's times; the removal does not rely on them."""
    number, (home, *_) = place.take()
    before = home.stat()
    (home / "file").write_text("x")
    os.utime(home, ns=(before.st_atime_ns, before.st_mtime_ns))
    place.places.leave(number)
    place.be_idle()
    assert place.used == [number]


def test_a_link_of_a_run_leads_no_removal_outside(place: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The run puts the link in place of the folder above a mount point, which the keeper removes."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "data").mkdir()
    place.places.mount_points = [MountPoint(0, "above/data", True), MountPoint(0, "above", True)]
    number, (_, temporary, _) = place.take()
    (temporary / "above").symlink_to(outside)
    place.places.leave(number)
    place.be_idle()
    assert (outside / "data").is_dir()
    assert place.used == [number]
    number, (_, temporary, _) = place.take()
    (temporary / "above" / "data").mkdir(parents=True)
    place.places.leave(number)
    place.be_idle()
    assert not temporary.exists()


def test_what_was_removed_meanwhile_is_made_again(place: Place) -> None:
    """A cleanup job of the machine may remove some of them, or the zygote's own folder."""
    place.be_idle()
    for folder in place.folder.glob("*.1"):
        folder.rmdir()
    assert all(folder.is_dir() for folder in place.take()[1])
    shutil.rmtree(place.folder)
    place.be_idle()
    with pytest.raises(FileNotFoundError):
        place.take()
    place.folder.mkdir()
    assert all(folder.is_dir() for folder in place.take()[1])


def test_a_keeper_that_is_never_idle_removes_folders_all_the_same(place: Place) -> None:
    """The number of waiting folders is limited: here nothing calls `work`."""
    for _ in range(40):
        number, (home, *_) = place.take()
        (home / "file").write_text("x")
        place.places.leave(number)
    assert len(place.used) > 20
