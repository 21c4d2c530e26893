"""Environments on disk: how they are described, measured and removed. The tests' environments have no packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import count

import pytest

from synapse_agent.runner.environments.leases import EnvironmentLeases
from synapse_agent.runner.environments.store import (
    Remover,
    describe,
    lock_path,
    measure,
    note_use,
    stored_environments,
)
from synapse_agent.storage.locks import lock_for_use, open_use_lock

FIRST, SECOND = ("1" * 32, "2" * 32)


@pytest.fixture
def folder(tmp_path):
    """Return the folder of environments."""
    folder = tmp_path / "environments"
    folder.mkdir()
    return folder


@pytest.fixture
def remover(folder, tmp_path):
    """Return the remover, with a folder for trash."""
    (tmp_path / "trash").mkdir()
    numbers = count()
    return Remover(folder, bytecode=tmp_path / "bytecode", trash=lambda: tmp_path / "trash" / str(next(numbers)))


def bytecode_of(environment, tmp_path):
    """Return the folder for the bytecode of an environment's files."""
    return tmp_path / "bytecode" / environment.relative_to("/")


def test_an_environment_is_described(folder, write_environment):
    """The description comes from its record, and from its files."""
    write_environment(FIRST, python="3.12.1", requirements=("idna>=3", "six"), content=100_000)
    (found,) = stored_environments(folder)
    assert (found.id, found.python, found.requirements) == (FIRST, "3.12.1", ("idna>=3", "six"))
    assert (found.in_use, found.usable) == (False, True)
    assert 100_000 <= found.size <= 200_000
    assert abs(found.last_used - time.time()) < 10


def test_a_size_is_measured_once(folder, write_environment):
    """Measuring is slow for large ones; reading the size does not change the time of the last use."""
    environment = write_environment(FIRST)
    os.utime(environment / "last-use", (1000, 1000))
    (first,) = stored_environments(folder)
    (environment / "more").write_bytes(bytes(100_000))
    (second,) = stored_environments(folder)
    assert first.size == second.size == json.loads((environment / "environment.json").read_text())["size"]
    assert first.last_used == second.last_used == 1000
    note_use(environment)
    assert stored_environments(folder)[0].last_used > 1000


def test_one_that_an_older_agent_made_is_known_by_its_folder(folder, write_environment):
    """Older agents did not record its content."""
    environment = write_environment(FIRST)
    (environment / "environment.json").unlink()
    (environment / "last-use").unlink()
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\nversion_info = 3.12.9\n")
    os.utime(environment, (2000, 2000))
    (found,) = stored_environments(folder)
    assert (found.python, found.requirements, found.last_used) == ("3.12.9", None, 2000)
    assert found.size > 0
    assert stored_environments(folder) == [found]
    (environment / "environment.json").write_text("{ damaged")
    assert stored_environments(folder)[0].python == "3.12.9"


@pytest.mark.parametrize("manifest", ["{", "[]", '{"python": [], "requirements": 5, "size": "x"}', "[" * 100_000])
def test_what_was_written_down_and_damaged_does_no_harm(folder, write_environment, manifest):
    """An action may have written to the files."""
    environment = write_environment(FIRST)
    (environment / "environment.json").write_text(manifest)
    (found,) = stored_environments(folder)
    assert (found.python, found.requirements) == (None, None)
    assert found.size > 0


def test_what_is_no_environment_is_not_listed(folder, write_environment):
    """Files, locks and folders with other names are skipped; the folder may be missing."""
    lock_path(folder / FIRST).parent.mkdir()
    lock_path(folder / FIRST).with_suffix(".lock").touch()
    (folder / "mine").mkdir()
    assert stored_environments(folder) == []
    assert stored_environments(folder / "none") == []
    write_environment(FIRST)
    (folder / FIRST / "bin" / "python").unlink()
    (folder / FIRST / "bin" / "python").symlink_to("/no/such/python")
    assert [found.usable for found in stored_environments(folder)] == [False]


def test_files_with_another_name_are_counted_apart(tmp_path, write_environment):
    """Files that uv's cache shares are counted separately: removing them frees no space."""
    environment = write_environment(FIRST, content=100_000)
    before = measure(environment)
    os.link(environment / "content", tmp_path / "elsewhere")
    after = measure(environment)
    assert after.own + 100_000 <= before.own
    assert after.total == before.total


def test_an_environment_goes_with_its_bytecode(folder, tmp_path, remover, write_environment):
    """The result is the freed size; the trash is removed, too, and the other environment stays."""
    environment = write_environment(FIRST, content=50_000)
    write_environment(SECOND)
    cached = bytecode_of(environment, tmp_path)
    cached.mkdir(parents=True)
    (cached / "module.pyc").write_bytes(bytes(30_000))
    first = next(found for found in stored_environments(folder) if found.id == FIRST)
    removal = remover.remove(first)
    assert (removal.environment, removal.usage.shared) == (first, 0)
    assert removal.usage.own >= 80_000
    assert remover.remove(first) is None
    assert [path.name for path in folder.iterdir()] == [SECOND]
    assert not cached.exists()
    assert list((tmp_path / "trash").iterdir()) == []


@contextmanager
def in_use(environment):
    descriptor = open_use_lock(lock_path(environment))
    assert lock_for_use(descriptor)
    try:
        yield
    finally:
        os.close(descriptor)


def test_one_that_is_in_use_is_not_removed(folder, remover, write_environment):
    """It is reported as in use, whichever process uses it."""
    environment = write_environment(FIRST)
    with in_use(environment):
        (found,) = stored_environments(folder)
        assert found.in_use
        assert remover.remove(found) is None
    assert environment.exists()
    assert remover.remove(found) is not None


REMOVE = """
import os, sys
from itertools import count
from pathlib import Path
from synapse_agent.runner.environments.store import Remover, stored_environments
folder, bytecode, trash = map(Path, sys.argv[1:4])
numbers = count()
remover = Remover(folder, bytecode=bytecode, trash=lambda: trash / str(next(numbers)))
(found,) = stored_environments(folder)
steps = count()

def die(event, args):
    if event in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree") and next(steps) == int(sys.argv[4]):
        os.kill(os.getpid(), 9)

sys.addaudithook(die)
remover.remove(found)
"""


def test_a_remover_that_is_killed_leaves_nothing_for_use(folder, tmp_path, remover, write_environment):
    """After each step it is either unchanged or no longer an environment, and the next sweep removes it."""
    outcomes = []
    for step in range(20):
        environment = write_environment(FIRST)
        cached = bytecode_of(environment, tmp_path)
        cached.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-c", REMOVE, folder, tmp_path / "bytecode", tmp_path / "trash", str(step)]
        leases = EnvironmentLeases(on_lost=lambda _: None)
        leases.release(leases.take(environment))
        ended = subprocess.run(map(str, command), check=False).returncode
        is_one = (environment / "bin" / "python").exists()
        lease = leases.take(environment)  # the path of the open folder, even after a move
        assert (lease is not None) == is_one
        if lease is not None:
            leases.release(lease)
        leases.close()
        if is_one:
            assert sorted(path.name for path in environment.iterdir()) == WHOLE
        remover.sweep()
        assert environment.exists() == is_one
        assert is_one or not cached.exists()
        outcomes.append((ended, is_one))
        remover.discard(environment)
        subprocess.run(["rm", "-rf", *(tmp_path / "trash").iterdir()], check=True)
        if ended == 0:
            break
    assert outcomes[0] == (-9, True)
    assert (-9, False) in outcomes
    assert outcomes[-1] == (0, False)


WHOLE = ["bin", "content", "environment.json", "last-use", "pyvenv.cfg"]


def test_what_the_killed_left_is_swept_away(folder, tmp_path, remover, write_environment):
    """The sweep removes unused locks, bytecode without a source and half-removed environments, and keeps the rest."""
    kept = write_environment(FIRST)
    begun = write_environment(SECOND)
    (begun / "bin" / "python").unlink()
    lock_path(folder / FIRST).parent.mkdir()
    lock_path(folder / FIRST).with_suffix(".lock").touch()
    for environment in (kept, folder / ("3" * 32)):
        bytecode_of(environment, tmp_path).mkdir(parents=True)
    remover.sweep()
    assert list(folder.iterdir()) == [kept]
    assert [path.name for path in bytecode_of(folder, tmp_path).iterdir()] == [FIRST]


def test_what_is_described_can_be_read_by_others(tmp_path):
    """The record is JSON; the only other file is a stamp of the last use."""
    describe(tmp_path, python="3.11.7", requirements=("six",))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["environment.json", "last-use"]
    assert json.loads((tmp_path / "environment.json").read_text()) == {"python": "3.11.7", "requirements": ["six"]}
