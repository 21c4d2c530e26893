"""What runs, and their environment's code before any run, see of the machine's files."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.sandbox import namespaces_missing, probed
from synapse_agent.runner.processes.temporary_files import temporary_files
from synapse_agent.storage.trees import remove_tree

pytestmark = pytest.mark.anyio

KERNELS = probed(wanted=True)
needs_namespaces = pytest.mark.skipif(not KERNELS.namespaces, reason=f"no namespaces: {namespaces_missing()}")

TRIES = """
    import json, os, sys
    from pathlib import Path

    def outcome(way, *arguments, **named):
        try:
            return way(*arguments, **named) or "done"
        except OSError as error:
            return os.strerror(error.errno)
    """


@pytest.fixture
async def viewing(data_dir: Path) -> AsyncIterator[LocalRunner]:
    """A runner whose runs have their own view."""
    runner = LocalRunner(data_dir, sandbox=KERNELS)
    yield runner
    await runner.close()


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on the disk, outside folders for temporary files."""
    folder = Path(tempfile.mkdtemp(dir=Path(__file__).parent, prefix=".view-"))
    yield folder
    remove_tree(folder)


def names(folder: str) -> list[str]:
    return [path.name for path in Path(folder).iterdir()]


@needs_namespaces
async def test_each_run_has_temporary_files_of_its_own(viewing, write_plugin):
    """Neither the next run nor the machine sees them, whatever TMPDIR is."""
    source = dedent(TRIES) + dedent("""
        def act():
            folders = ("/tmp", "/var/tmp", "/dev/shm", os.environ["HOME"])
            left = [sorted(os.listdir(folder)) for folder in folders]
            for folder in folders:
                Path(folder, "mine").write_text("x")
                os.setxattr(folder, "user.mine", b"x") if folder != "/dev/shm" else None
            attributes = [os.listxattr(folder) for folder in folders]
            return left, attributes
        """)
    plugin = write_plugin(source)
    first, _ = await plugin.run(viewing)
    for _ in range(5):
        again, attributes = await plugin.run(viewing)
        assert again == first
        assert attributes[:2] == [["user.mine"]] * 2
    assert "mine" not in json.dumps(first)
    assert not any("mine" in names(folder) for folder in ("/tmp", "/var/tmp", "/dev/shm"))


@needs_namespaces
async def test_software_that_names_its_folder_in_tmp_works(viewing, write_plugin):
    """The public SDK downloads to `/tmp/datamaker`."""
    source = """
        import os

        def act():
            os.makedirs("/tmp/datamaker/media", exist_ok=False)
            with open("/tmp/datamaker/media/file", "w") as file:
                return file.write("four")
        """
    plugin = write_plugin(source)
    assert [await plugin.run(viewing) for _ in range(2)] == [4, 4]


@needs_namespaces
async def test_what_params_name_is_seen_and_not_written_to(viewing, write_plugin, tmp_path):
    """Paths are found at any depth: a single file, a folder with its content, a link with its target."""
    source = dedent(TRIES) + dedent("""
        def act(deep, folder, link):
            path = Path(deep[0]["path"])
            return [
                path.read_text(),
                outcome(path.write_text, "changed"),
                sorted(os.listdir(path.parent)),
                Path(folder, "below", "it").read_text(),
                outcome(Path(folder, "new").touch),
                Path(link).read_text(),
            ]
        """)
    (tmp_path / "files").mkdir()
    for name in ("named", "beside"):
        (tmp_path / "files" / name).write_text(name)
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "below" / "it").write_text("below it")
    (tmp_path / "link").symlink_to("files/beside")
    params = {"deep": [{"path": str(tmp_path / "files" / "named")}], "folder": str(tmp_path / "folder")}
    assert await write_plugin(source).run(viewing, {**params, "link": str(tmp_path / "link")}) == [
        "named",
        "Read-only file system",
        ["named"],
        "below it",
        "Read-only file system",
        "beside",
    ]
    assert (tmp_path / "files" / "named").read_text() == "named"


def test_what_params_name_is_found_in_their_text(tmp_path: Path) -> None:
    """These are up to a hundred existing paths below folders for temporary files, except for hidden ones."""
    files = [tmp_path / f"{number} {letter}" for number in range(150) for letter in 'é"\\']
    for file in files[:3] + files[10:]:
        file.touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "token").touch()
    (tmp_path / "to-token").symlink_to("data/token")

    def found(params: Any) -> list[tuple[str, str]]:
        return temporary_files(json.dumps(params).encode(), hidden=tmp_path / "data")

    assert found({"a": [str(files[0]), {"b": str(files[1])}], "c": str(files[0])}) == [(str(f),) * 2 for f in files[:2]]
    assert found([str(files[2]), str(files[3]), "/tmp", "/tmp/../etc/passwd", "/etc/passwd", "/tmp/\0", "x/tmp/y"]) == [
        (str(files[2]),) * 2
    ]
    assert found([str(tmp_path / name) for name in ("data", "data/token", "to-token")]) == []
    assert len(found(list(map(str, files)))) == 100


@needs_namespaces
async def test_naming_a_folder_around_the_agents_own_shows_nothing_of_those(data_dir, viewing, write_plugin):
    """The run sees neither other runs' folders nor the files next to the release."""
    (data_dir / "secret").write_text("secret")
    source = dedent(TRIES) + dedent("""
        def act(around, data):
            return sorted(os.listdir(data)), outcome(os.listdir, around) != [], sorted(os.listdir(data + "/scratch"))
        """)
    params = {"around": str(data_dir.parent), "data": str(data_dir)}
    data, around, scratch = await write_plugin(source).run(viewing, params)
    assert data == ["bytecode", "caches", "environments", "scratch", "storage"]
    assert around
    assert len(scratch) == 1


@needs_namespaces
async def test_what_is_allowed_below_tmp_is_the_machines(data_dir, write_plugin, tmp_path):
    """This may be a folder, a file, or all of `/tmp`."""
    source = dedent(TRIES) + "\ndef act(paths):\n    return [outcome(Path(path).write_text, 'x') for path in paths]\n"
    folder, file, other = tmp_path / "folder", tmp_path / "file", tmp_path / "other"
    folder.mkdir()
    file.touch()
    other.touch()
    plugin = write_plugin(source)
    for allowed, written in (([folder, file], [1, 1, "Read-only file system"]), ([Path("/tmp")], [1, 1, 1])):
        runner = LocalRunner(data_dir, sandbox=replace(KERNELS, allow_write=tuple(allowed)))
        assert await plugin.run(runner, {"paths": [f"{folder}/new", str(file), str(other)]}) == written
        await runner.close()
    assert [path.read_text() for path in (folder / "new", file, other)] == ["x"] * 3


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder of the machine's shared memory."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="view-"))
    yield folder
    remove_tree(folder)


@needs_namespaces
async def test_the_agents_data_may_be_in_shared_memory(in_memory, write_plugin):
    """Some operators want nothing of it on a disk. Runs still have shared memory of their own."""
    (in_memory / "data").mkdir()
    (in_memory / "other").touch()
    source = """
        import os
        from pathlib import Path

        def act(folder):
            Path(os.environ["HOME"], "mine").write_text("x")
            return Path(__file__).is_file(), os.listdir(folder), os.listdir("/dev/shm")
        """
    runner = LocalRunner(in_memory / "data", sandbox=KERNELS)
    plugin = write_plugin(source)
    for _ in range(2):
        assert await plugin.run(runner, {"folder": str(in_memory)}) == [True, ["data"], [in_memory.name]]
    await runner.close()


@needs_namespaces
async def test_what_is_allowed_in_shared_memory_is_the_machines(data_dir, in_memory, write_plugin):
    """A plugin can exchange data with a program of the machine through it."""
    source = "def act(path):\n    return open(path, 'w').write('x')\n"
    plugin = write_plugin(source)
    for allowed in (in_memory, Path("/dev/shm")):
        runner = LocalRunner(data_dir, sandbox=replace(KERNELS, allow_write=(allowed,)))
        path = in_memory / f"from-{len(allowed.parts)}"
        assert await plugin.run(runner, {"path": str(path)}) == 1
        assert path.read_text() == "x"
        await runner.close()


@needs_namespaces
async def test_modes_times_and_attributes_of_others_files_stay(viewing, write_plugin, tmp_path):
    """Landlock does not cover these, but a read-only file system does."""
    source = dedent(TRIES) + dedent("""
        def act(path):
            return [
                outcome(os.chmod, path, 0o777),
                outcome(os.chown, path, os.getuid(), os.getgid()),
                outcome(os.utime, path, (1, 1)),
                outcome(os.setxattr, path, "user.mine", b"x"),
                outcome(os.chmod, sys.executable, 0o777),
                outcome(os.utime, __file__, (1, 1)),
                outcome(os.chmod, "/proc/sys/kernel/core_pattern", 0o666),
            ]
        """)
    (tmp_path / "file").touch()
    outcomes = await write_plugin(source).run(viewing, {"path": str(tmp_path / "file")})
    assert set(outcomes) <= {"Read-only file system", "Operation not permitted"}


PTH = "import os; exec({!r}, {{}})\n"
EARLY = """
import ctypes, json, os
from pathlib import Path

def tried(way, *arguments):
    try:
        way(*arguments)
    except OSError as error:
        return os.strerror(error.errno)
    return "done"

libc = ctypes.CDLL(None, use_errno=True)
def mount(*arguments):
    if libc.mount(*arguments) or libc.umount2(b"/tmp", 2):
        raise OSError(ctypes.get_errno(), "")
early = {
    "elsewhere": tried(Path(ELSEWHERE, "early").touch),
    "tmp": tried(Path("/tmp/early").touch),
    "chmod": tried(os.chmod, ELSEWHERE, 0o777),
    "remount": tried(mount, None, b"/", None, 0x1020, None),
    "environment": tried(Path(os.__file__).touch),
}
os.environ["EARLY"] = json.dumps(early)
"""


@pytest.mark.skipif(KERNELS.status != "active", reason="this kernel has no Landlock")
@pytest.mark.parametrize("namespaces", [True, False])
async def test_code_that_runs_when_python_starts_is_confined(tmp_path, write_plugin, elsewhere, namespaces):
    """A wheel may contain a `.pth` file, whose code runs before any action."""
    if namespaces and not KERNELS.namespaces:
        pytest.skip("no namespaces")
    runner = LocalRunner(tmp_path / "data", sandbox=replace(KERNELS, namespaces=namespaces))
    plugin = write_plugin("import json, os\n\ndef act():\n    return json.loads(os.environ.get('EARLY', '{}'))\n")
    assert await plugin.run(runner) == {}
    (environment,) = (tmp_path / "data" / "environments").iterdir()
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "early.pth").write_text(PTH.format(EARLY.replace("ELSEWHERE", repr(str(elsewhere)))))
    outcomes = await plugin.run(runner, release=None)
    await runner.close()
    refused = {"Read-only file system", "Permission denied", "Operation not permitted", "Invalid argument"}
    assert outcomes.pop("tmp") == ("done" if namespaces else "Permission denied")
    if not namespaces:
        del outcomes["chmod"], outcomes["environment"]  # Landlock does not cover modes and times
    assert set(outcomes.values()) <= refused, outcomes
    assert "early" not in names("/tmp")


async def test_without_namespaces_runs_share_the_machines_temporary_files(elsewhere, write_plugin):
    """Software with a fixed folder in `/tmp` works there, too; the agent's data is elsewhere."""
    runner = LocalRunner(elsewhere, sandbox=replace(KERNELS, namespaces=False))
    name = f"/tmp/synapse-{os.getpid()}"
    plugin = write_plugin("import os\n\ndef act(name):\n    os.mkdir(name)\n    return os.listdir(name)\n")
    try:
        assert await plugin.run(runner, {"name": name}) == []
        assert Path(name).name in names("/tmp")
    finally:
        remove_tree(Path(name))
        await runner.close()


async def test_a_process_that_an_action_starts_has_the_packages_of_its_environment(viewing, write_plugin):
    """`multiprocessing` starts Python with the flags of its own process, which are the default ones."""
    source = """
        import multiprocessing, subprocess, sys

        def answer(queue):
            queue.put([sys.prefix, [path for path in sys.path if path.endswith("site-packages")], sys.flags.no_site])

        def act():
            plain = subprocess.run(
                [sys.executable, "-I", "-c", "import sys; print(sys.prefix, [p for p in sys.path if 'site-' in p])"],
                stdout=subprocess.PIPE, text=True, check=True,
            ).stdout.strip()
            mine = [sys.prefix, [path for path in sys.path if path.endswith("site-packages")], sys.flags.no_site]
            spawning = multiprocessing.get_context("spawn")
            queue = spawning.Queue()
            process = spawning.Process(target=answer, args=(queue,))
            process.start()
            theirs = queue.get(timeout=30)
            process.join()
            return plain == f"{mine[0]} {mine[1]}", mine == theirs, len(mine[1]), mine[2]
        """
    assert await write_plugin(source).run(viewing) == [True, True, 1, 0]


async def test_a_plugin_may_have_a_package_of_the_workers_name(viewing, write_plugin):
    """The worker's own modules don't hide the plugin's."""
    plugin = write_plugin("from synapse_worker import zygote\n\ndef act():\n    return zygote.NAME\n")
    package = plugin.folder / "synapse_worker"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "zygote.py").write_text("NAME = 'the plugin\\'s'\n")
    assert await plugin.run(viewing) == "the plugin's"
