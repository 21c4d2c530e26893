"""Which Pythons are found, and in what order."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from descriptors import descriptors

from synapse_agent.runner.environments.interpreters import Interpreters

pytestmark = pytest.mark.anyio

OWN = Path(sys._base_executable).resolve()


def program(path, text):
    """Write an executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


async def test_the_agents_own_python_is_found_without_any_path():
    """So at least one Python is always found."""
    (found,) = await Interpreters(environ={}).all()
    assert (found.path, found.version) == (OWN, ".".join(map(str, sys.version_info[:3])))


async def test_links_are_one_python(tmp_path):
    """PATH often has several links to the same Python."""
    for name in ("python", "python3", "python3.11"):
        (tmp_path / name).symlink_to(OWN)
    assert len(await Interpreters(environ={"PATH": str(tmp_path)}).all()) == 1


async def test_a_python_is_started_once_for_all_agents_of_a_process(tmp_path):
    """Other variables, or another file in its place, may change what it is."""
    path = tmp_path / "python3.90"
    shutil.copy(OWN, path)
    modified = path.stat().st_mtime_ns

    async def found(**environ):
        return [python.path for python in await Interpreters([path], environ=environ).all()]

    assert await found() == [path, OWN]
    os.truncate(path, 4)  # no longer a program
    os.utime(path, ns=(modified, modified))
    assert await found() == [path, OWN]
    assert await found(LANG="C") == [OWN]
    path.touch()
    assert await found() == [OWN]


async def test_shims_and_what_does_not_start_are_passed_over(tmp_path):
    """pyenv's shims are scripts; other programs may have the name of a Python."""
    program(tmp_path / "python3.12", "#!/bin/sh\necho 3.12.0\n")
    (tmp_path / "python3.13").symlink_to("/bin/false")
    (tmp_path / "python3.14").symlink_to("/no/where")
    (tmp_path / "python3-config").symlink_to(OWN)
    assert [python.path for python in await Interpreters(environ={"PATH": str(tmp_path)}).all()] == [OWN]


async def test_folders_that_cannot_be_looked_into_are_passed_over(tmp_path):
    """An inherited variable may contain another user's folders."""
    environ = {"PATH": f"{tmp_path / 'none'}:/{'x' * 300}", "PYENV_ROOT": f"/{'x' * 300}"}
    assert [python.path for python in await Interpreters(environ=environ).all()] == [OWN]


async def test_configured_ones_come_first_and_the_newest_found_before_the_older():
    """Python 3.7 and older are not listed."""
    every = await Interpreters().all()
    if len(every) < 3:
        pytest.skip("this machine has too few Pythons")
    given = await Interpreters([every[-1].path]).all()
    assert [python.path for python in given[:2]] == [every[-1].path, OWN]
    versions = [tuple(map(int, python.version.split(".")[:2])) for python in every[1:]]
    assert versions == sorted(versions, reverse=True)
    assert min(versions) >= (3, 8)


async def test_a_specifier_chooses():
    """Possibly no Python fits."""
    version = ".".join(map(str, sys.version_info[:3]))
    interpreters = Interpreters(environ={})
    assert [python.version async for python in interpreters.fitting(f"=={version}")] == [version]
    assert [python.version async for python in interpreters.fitting(">=4")] == []


async def test_what_has_changed_is_seen_when_it_is_looked_for(tmp_path):
    """This covers new, removed and replaced ones; until the next search, nothing changes."""
    shutil.copy(OWN, tmp_path / "python3.90")
    shutil.copy(OWN, tmp_path / "python3.91")
    interpreters = Interpreters(environ={"PATH": str(tmp_path)})
    version = (await interpreters.all())[0].version

    def names():
        return [python.path.name for python in interpreters.known(f"=={version}")]

    assert names() == [OWN.name, "python3.91", "python3.90"]
    (tmp_path / "python3.90").rename(tmp_path / "python3.92")
    program(tmp_path / "new", "no program")
    (tmp_path / "new").replace(tmp_path / "python3.91")
    assert names() == [OWN.name, "python3.91", "python3.90"]
    await interpreters.look_again()
    assert names() == [OWN.name]
    assert [python.path.name for python in await interpreters.all()] == [OWN.name, "python3.92"]
    assert names() == [OWN.name, "python3.92"]


def compiled(path, source):
    """Compile a program, since the search skips scripts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".c").write_text(source)
    try:
        subprocess.run(["cc", "-o", path, path.with_suffix(".c")], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("this machine has no C compiler")
    return path


def running(folder):
    """Return the programs of a folder that run."""
    found = []
    for exe in Path("/proc").glob("[0-9]*/exe"):
        with suppress(OSError):  # it has ended, or belongs to another user
            found.append(exe.readlink())
    return [path for path in found if path.is_relative_to(folder)]


PRINTS = """
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
    printf("Welcome to this Python!\\n"); fflush(stdout);
    argv[0] = "%s";
    return execv(argv[0], argv);
}
"""


async def test_a_python_that_prints_at_its_start_is_a_python(tmp_path):
    """The search finds its version on a later line."""
    path = compiled(tmp_path / "python3.9", PRINTS % OWN)
    found = await Interpreters([path], environ={}).all()
    assert (found[0].path, found[0].version) == (path, ".".join(map(str, sys.version_info[:3])))


async def test_a_program_that_is_no_python_is_passed_over_by_name(tmp_path, caplog):
    """This holds for any output of the program; the other Pythons are used."""
    for number, says in enumerate(("3.9", "Python 3.9.1", "", "synapse: x", "\\xff")):
        compiled(tmp_path / f"python3.{number}", f'#include <stdio.h>\nint main() {{ printf("{says}\\n"); return 0; }}')
    found = await Interpreters(environ={"PATH": str(tmp_path)}).all()
    assert [python.path for python in found] == [OWN]
    assert all(f"Skipped {tmp_path}/python3.{number}:" in caplog.text for number in range(5))


async def test_what_never_answers_is_passed_over(tmp_path, monkeypatch):
    """A named pipe, a program that waits, one that prints endlessly, and one whose child holds its output open."""
    monkeypatch.setattr("synapse_agent.runner.environments.interpreters._PROBE_SECONDS", 1.0)
    os.mkfifo(tmp_path / "python3.10", 0o755)
    header = "#include <stdio.h>\n#include <unistd.h>\n"
    compiled(tmp_path / "python3.11", header + "int main() { sleep(1000); return 0; }")
    compiled(tmp_path / "python3.12", header + 'int main() { for (;;) puts("Welcome!"); }')
    compiled(tmp_path / "python3.13", header + "int main() { if (!fork()) sleep(1000); return 0; }")
    async with asyncio.timeout(20):
        assert [python.path for python in await Interpreters(environ={"PATH": str(tmp_path)}).all()] == [OWN]
    assert running(tmp_path) == []


async def test_a_lack_of_descriptors_makes_no_python_unknown():
    """The lack is temporary: the next search tries the Pythons again."""
    interpreters = Interpreters(environ={"USER": "of this test alone"})
    await asyncio.to_thread(list)  # the thread that starts Pythons exists now
    with descriptors(free=0), pytest.raises(OSError, match="Too many open files"):
        await interpreters.all()
    assert [python.path for python in await interpreters.all()] == [OWN]
    assert [python.path for python in interpreters.known(None)] == [OWN]
