"""The tutorial works as printed, from an empty folder; a second HOME represents the other machine."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from blocks import ROOT, Block, blocks_of
from shells import Shell

PAGE = "docs/tutorial.md"
HOST = "server.example.com"
INSTALLED = "On both machines"
"""The block that installs the package; tests/test_distribution.py does that with the wheel."""
SCP = """#!/bin/sh
[ "$1" = -p ] && shift
exec cp -p "{server}/${{1#*:}}" "$2"
"""
"""Replaces `scp` from the other machine by a copy from the other HOME."""


def test_every_step_of_the_tutorial_works(tmp_path: Path) -> None:
    """The test runs each command in order, and compares the shown output."""
    missing = [program for program in ("curl", "openssl") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} missing; as root on Debian, .ci/install installs it.")
    homes = {name: tmp_path / name for name in ("own", "server")}
    for home in homes.values():
        home.mkdir()
    (homes["own"] / "bin").mkdir()
    (homes["own"] / "bin" / "scp").write_text(SCP.format(server=homes["server"]), encoding="utf-8")
    (homes["own"] / "bin" / "scp").chmod(0o755)
    with shell_in(homes["own"]) as own, shell_in(homes["server"]) as server:
        own.run('export PATH="$HOME/bin:$PATH"')
        for block in blocks_of(ROOT / PAGE):
            if block.title == INSTALLED:
                continue
            text = block.text.replace(f"{HOST}:8000", f"localhost:{server.port}").replace(HOST, "localhost")
            if block.title == "On the server":
                server.run(text)
            elif block.title:
                (homes["own"] / block.title).write_text(text, encoding="utf-8")
            elif block.language == "python":
                own.run(f"python - <<'END'\n{text}END\n")
            else:
                check_session(block, text, own)
    assert (homes["server"] / "word_stats").exists() is False


def shell_in(home: Path) -> Shell:
    """Return a shell on a machine without traces of the project."""
    return Shell(home, {}, agent_url="", agent_token="")


def check_session(block: Block, text: str, shell: Shell) -> None:
    """Run a block's commands; for a session, compare each output with the shown one."""
    if block.language != "console":
        shell.run(text)
        return
    for step in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, shown = step.partition("\n")
        printed = shell.run(command)
        assert shown in printed, f"{command}\n{printed}"
