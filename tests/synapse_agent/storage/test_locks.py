"""Locks that hold between processes, and between two who share one."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from synapse_agent.storage.locks import file_locked, folder_locked, remove_unheld

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
    """Give another process, which holds the lock of the file `lock`."""
    command = [sys.executable, "-c", HOLD, tmp_path / "lock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


async def test_many_hold_a_file_s_lock_one_after_the_other(tmp_path):
    """Also though each removes the file, which others wait for, at its end."""
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
    """The kernel lets go of the lock of one that was killed; its file does not matter."""
    waiting = asyncio.ensure_future(file_locked(tmp_path / "lock").__aenter__())
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    remove_unheld(tmp_path / "lock")
    assert (tmp_path / "lock").exists()
    holder.kill()
    await asyncio.wait_for(waiting, 10)


async def test_the_file_that_a_killed_holder_left_can_be_removed(tmp_path, holder):
    """One that is not there is fine."""
    holder.kill()
    holder.wait()
    assert (tmp_path / "lock").exists()
    remove_unheld(tmp_path / "lock")
    remove_unheld(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_is_locked_once(tmp_path):
    """The second one is told so at once."""
    with folder_locked(tmp_path), pytest.raises(BlockingIOError), folder_locked(tmp_path):
        pass
    with folder_locked(tmp_path):
        pass
