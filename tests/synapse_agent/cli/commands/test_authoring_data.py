"""The data folder of commands that run a plugin's folder."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from synapse_agent.cli.commands.authoring_data import authoring_data


def test_environments_and_storage_stay_and_everything_else_goes() -> None:
    """Also what a killed command has left, before the next one starts."""
    with authoring_data() as first:
        for name in ("environments", "storage", "jobs"):
            (first / name).mkdir()
        (first / "agent.sqlite3").touch()
    assert sorted(path.name for path in first.iterdir()) == ["environments", "storage"]
    (first / "releases").mkdir()
    (first / "link").symlink_to(first / "storage")
    with authoring_data() as second:
        assert second == first
        assert sorted(path.name for path in second.iterdir()) == ["environments", "storage"]


def test_each_command_has_a_folder_of_its_own() -> None:
    """The fifth at the same time gets a temporary one."""
    with ExitStack() as stack:
        folders = [stack.enter_context(authoring_data()) for _ in range(5)]
        assert [folder.name for folder in folders[:4]] == ["0", "1", "2", "3"]
        assert folders[4].parent != folders[0].parent
    assert [folder.exists() for folder in folders] == [True, True, True, True, False]


def test_a_home_that_cannot_be_written_gives_a_temporary_folder(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command still runs, and leaves nothing."""
    (env / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(env / "file"))
    with authoring_data() as folder:
        assert folder.is_dir()
    assert not folder.exists()
