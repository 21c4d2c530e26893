"""Files on the command line: sent with a run, fetched from a job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("known")


@pytest.fixture
def leaver(tmp_path: Path) -> Path:
    """A plugin's folder, whose action writes the file that it gets to its outputs, twice."""
    folder = tmp_path / "leaver"
    folder.mkdir()
    (folder / "config.yaml").write_text("name: leaver\ncode: leaver\nversion: 1.0.0\nactions:\n  leave: leaver:leave\n")
    (folder / "leaver.py").write_text(
        "from pathlib import Path\n\n"
        "def leave(text, context):\n"
        "    (context.outputs / 'sub').mkdir()\n"
        "    for name in ('one.txt', 'sub/two.txt'):\n"
        "        (context.outputs / name).write_text(Path(text).read_text())\n"
        "    return Path(text).name\n"
    )
    return folder


def test_a_param_with_an_at_sign_is_a_file(cli, leaver: Path, tmp_path: Path, monkeypatch) -> None:
    """It is sent before the run; the run's outputs are listed and downloaded, all of them or by name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input.txt").write_text("to be")
    ended = cli("debug", str(leaver), "leave", "-p", "text=@input.txt", "--job-id", "leaves-by-cli")
    assert (ended.code, json.loads(ended.out)) == (0, "input.txt")
    files = json.loads(cli("jobs", "files", "leaves-by-cli").out)
    assert [(file["name"], file["size"]) for file in files] == [("one.txt", 5), ("sub/two.txt", 5)]
    downloaded = cli("jobs", "download", "leaves-by-cli", "--to", "all")
    assert (downloaded.out.splitlines(), downloaded.err) == (["all/one.txt", "all/sub/two.txt"], "")
    assert (tmp_path / "all" / "sub" / "two.txt").read_text() == "to be"
    assert cli("jobs", "download", "leaves-by-cli", "sub/two.txt").out == "sub/two.txt\n"
    missing = cli("jobs", "download", "leaves-by-cli", "three.txt")
    assert (missing.code, "has no file 'three.txt'" in missing.err) == (3, True)


def test_how_far_a_large_file_is_is_shown(cli, leaver: Path, tmp_path: Path) -> None:
    """The unit is MB, for uploads and downloads."""
    (tmp_path / "large.txt").write_bytes(b"x" * 2_100_000)
    sent = cli("debug", str(leaver), "leave", "-p", f"text=@{tmp_path}/large.txt", "--job-id", "leaves-large")
    assert sent.err.splitlines()[-1] == "progress: 2.1 of 2.1"
    fetched = cli("jobs", "download", "leaves-large", "--to", str(tmp_path / "all"))
    assert fetched.err.splitlines()[-1] == "progress: 4.2 of 4.2"


def test_two_at_signs_are_one_in_a_text(cli) -> None:
    """A missing file is a usage error before anything runs."""
    assert json.loads(cli("run", "tools@1.0.0", "echo", "-p", "value=@@ada").out) == "@ada"
    for name, why in (
        ("none.txt", "is not a file"),
        ("/tmp", "is a folder, which can't be sent: use an archive of it"),
    ):
        wrong = cli("run", "tools@1.0.0", "echo", "-p", f"value=@{name}")
        assert wrong.code == 2
        assert f"{name} {why}. For text that begins with @, write @@." in wrong.err


def test_the_path_of_a_file_as_text_gets_a_hint(cli, tmp_path: Path, monkeypatch) -> None:
    """A path means nothing on another machine. It is sent unchanged; an absolute one may be the agent's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input.txt").write_text("to be")
    ended = cli("run", "tools@1.0.0", "echo", "-p", "value=./input.txt")
    assert json.loads(ended.out) == "./input.txt"
    assert "To send the file: -p value=@./input.txt" in ended.err
    for value in (str(tmp_path / "input.txt"), "to be or not to be", "./none.txt", "x" * 5000 + "."):
        assert "To send the file" not in cli("run", "tools@1.0.0", "echo", "-p", f"value={value}").err
