"""Locks between processes, and within one process."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from synapse_agent.problems import Problem
from synapse_agent.storage.locks import (
    end_use,
    file_locked,
    folder_locked,
    is_used,
    lock_folder,
    lock_for_use,
    locked_for_removal,
    open_use_lock,
    remove_unheld,
)

pytestmark = pytest.mark.anyio

HOLD = """
import asyncio, sys
from pathlib import Path
from synapse_agent.storage.locks import file_locked

async def hold():
    async with file_locked(Path(sys.argv[1])):
        print("held", flush=True)
        await asyncio.sleep(20)

asyncio.run(hold())
"""


@pytest.fixture
def holder(tmp_path):
    """Yield another process, which holds the lock of the file `lock`."""
    command = [sys.executable, "-c", HOLD, tmp_path / "lock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


async def test_many_hold_a_file_s_lock_one_after_the_other(tmp_path):
    """This works although each removes the file, on which others wait, at its end."""
    inside = 0
    most = 0

    async def hold():
        nonlocal inside, most
        async with file_locked(tmp_path / "lock"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1

    await asyncio.gather(*(hold() for _ in range(10)))
    assert most == 1
    assert list(tmp_path.iterdir()) == []


async def test_another_process_is_waited_for_until_it_dies(tmp_path, holder):
    """The kernel releases the lock of a killed process; the file may stay."""
    waiting = asyncio.ensure_future(file_locked(tmp_path / "lock").__aenter__())
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    remove_unheld(tmp_path / "lock")
    assert (tmp_path / "lock").exists()
    holder.kill()
    await asyncio.wait_for(waiting, 10)


async def test_the_file_that_a_killed_holder_left_can_be_removed(tmp_path, holder):
    """Removing a missing file does no harm."""
    holder.kill()
    holder.wait()
    assert (tmp_path / "lock").exists()
    remove_unheld(tmp_path / "lock")
    remove_unheld(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_is_locked_once(tmp_path):
    """The second one gets an error at once."""
    with folder_locked(tmp_path), pytest.raises(BlockingIOError), folder_locked(tmp_path):
        pass
    with folder_locked(tmp_path):
        pass


def test_what_can_only_read_a_lock_prevents_no_use(tmp_path: Path) -> None:
    """A sandboxed run may hold any locks on it: the environment can be used meanwhile, and is removed later."""
    lock = tmp_path / "locks" / "one"
    mine = open_use_lock(lock)
    code = (
        "import fcntl, os, struct, sys; file = os.open(sys.argv[1], os.O_RDONLY); fcntl.flock(file, fcntl.LOCK_EX);"
        "fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack('hhqqi', fcntl.F_RDLCK, 0, 0, 0, 0));"
        "print(flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout
        run.stdout.readline()
        assert lock_for_use(mine)
        end_use(mine)
        with pytest.raises(BlockingIOError), locked_for_removal(lock):
            pass
        run.communicate(b"\n")
    with locked_for_removal(lock, with_file=True), pytest.raises(BlockingIOError):
        lock_for_use(mine)
    assert not lock_for_use(mine)
    assert not is_used(lock)
    os.close(mine)


@pytest.mark.anyio
async def test_a_run_that_holds_a_makers_lock_blocks_no_maker(tmp_path: Path) -> None:
    """A run can open the file only for reading, and so can't hold a lock that a maker waits for."""
    lock = tmp_path / "lock"
    lock.touch()
    reader = os.open(lock, os.O_RDONLY)
    fcntl.fcntl(reader, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_RDLCK, 0, 0, 0, 0))
    fcntl.flock(reader, fcntl.LOCK_EX)
    async with asyncio.timeout(5), file_locked(lock):
        pass
    os.close(reader)


@pytest.mark.anyio
async def test_waiting_for_a_lock_has_an_end(tmp_path: Path) -> None:
    """The error names the file, and the process that holds it."""
    async with file_locked(tmp_path / "lock"):
        with pytest.raises(Problem, match=r"has been locked by another process for 0\.1 s") as refused:
            async with file_locked(tmp_path / "lock", wait=0.1):
                pass
    assert (refused.value.status, refused.value.error_type) == (503, "unavailable")
    with folder_locked(tmp_path), pytest.raises(BlockingIOError, match="It is locked by"):
        lock_folder(tmp_path, wait=0.05)
