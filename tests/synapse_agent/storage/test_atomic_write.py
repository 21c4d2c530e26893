"""Files that are complete or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_agent.storage.atomic_write import write_atomically


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    """A reader that has the old file open keeps it; nothing else is left in the folder."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as old:
        write_atomically(path, b"new", sync=True)
        assert old.read() == b"old"
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_private_file_is_never_open_to_others(tmp_path: Path) -> None:
    """Its mode is set on the draft, even if it replaces a file that others could read."""
    path = tmp_path / "token"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_atomically(path, b"new", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_cannot_take_its_place_leaves_nothing(tmp_path: Path) -> None:
    """The old content stays, and no draft is left."""
    (tmp_path / "folder" / "within").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]
