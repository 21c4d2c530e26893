"""Scratch folders, which don't outlive their use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import until

from synapse_agent.storage.scratch import Scratch


def test_a_folder_that_is_left_empty_is_used_again(tmp_path):
    """A folder that is not empty, or whose mode was changed, is not used again."""
    scratch = Scratch(tmp_path)
    first = scratch.take()
    assert scratch.give_back(first)
    assert scratch.take() == first
    (first / "file").touch()
    assert not scratch.give_back(first)
    second = scratch.take()
    assert second != first
    second.chmod(0o755)
    assert not scratch.give_back(second)
    third = scratch.take()
    third.rmdir()
    assert not scratch.give_back(third)
    scratch.close()
    assert list(tmp_path.iterdir()) == []


def test_a_lost_folder_that_cannot_be_made_again_closes_nothing_else(tmp_path):
    """Its lock is closed once: then another file may have the number of the descriptor."""
    scratch = Scratch(tmp_path / "scratch")
    until(lambda: list((tmp_path / "scratch").iterdir()) == [scratch.folder])
    shutil.rmtree(tmp_path / "scratch")
    (tmp_path / "scratch").touch()
    others = []
    for _ in range(3):
        with pytest.raises(FileExistsError):
            scratch.take()
        others.append(os.open(os.devnull, os.O_RDONLY))
    for descriptor in others:
        os.close(descriptor)
    (tmp_path / "scratch").unlink()
    assert scratch.take().is_dir()
    scratch.close()


def test_what_a_killed_agent_left_is_removed_and_what_a_live_one_has_is_not(tmp_path):
    """A live agent holds the lock of its folder."""
    program = """if True:
        import sys, time
        from pathlib import Path
        from synapse_agent.storage.scratch import Scratch
        scratch = Scratch(Path(sys.argv[1]))
        (scratch.take() / "file").touch()
        print(scratch.folder, flush=True)
        time.sleep(60)
        """
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        theirs = Path(other.stdout.readline().strip())
        first = Scratch(tmp_path)
        assert theirs.exists()
        other.kill()
    second = Scratch(tmp_path)
    until(lambda: not theirs.exists())
    assert first.folder.exists()
    first.close()
    second.close()
