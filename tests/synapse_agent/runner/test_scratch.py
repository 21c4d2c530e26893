"""Folders that do not outlive what they are for."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from synapse_agent.runner.scratch import Scratch, remove_tree


def test_a_folder_that_is_left_empty_is_used_again(tmp_path):
    """And one that is not, or whose mode was changed, is not."""
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


def test_what_a_killed_agent_left_is_removed_and_what_a_live_one_has_is_not(tmp_path):
    """The lock of the folder tells them apart."""
    program = """if True:
        import sys, time
        from pathlib import Path
        from synapse_agent.runner.scratch import Scratch
        scratch = Scratch(Path(sys.argv[1]))
        (scratch.take() / "file").touch()
        print(scratch.folder, flush=True)
        time.sleep(20)
        """
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        theirs = Path(other.stdout.readline().strip())
        first = Scratch(tmp_path)
        assert theirs.exists()
        other.kill()
    second = Scratch(tmp_path)
    assert not theirs.exists()
    assert first.folder.exists()
    first.close()
    second.close()


def test_a_tree_that_cannot_be_read_is_removed_nonetheless(tmp_path):
    """A plugin may have taken its own rights away; links out of the tree are not followed."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    inner = tmp_path / "tree" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    (tmp_path / "tree" / "link").symlink_to(outside)
    inner.chmod(0)
    (tmp_path / "tree").chmod(0o500)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    assert outside.stat().st_mode & 0o777 == 0o755
    remove_tree(tmp_path / "tree")


def test_a_tree_to_which_others_still_write_is_removed(tmp_path):
    """As an installer does for a moment after its agent was killed."""
    tree = tmp_path / "tree"
    is_going = threading.Event()

    def write():
        end = time.monotonic() + 0.1
        for number in count():
            (tree / str(number) / "inner").mkdir(parents=True, exist_ok=True)
            is_going.set()
            if time.monotonic() > end:
                return

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        is_going.wait()
        remove_tree(tree)
        writing.result()
    remove_tree(tree)
    assert not tree.exists()
