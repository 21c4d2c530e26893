"""Actions can write only to their own folder; the kernel enforces it."""

from __future__ import annotations

import asyncio
import ctypes
import io
import os
import socket
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from synapse_agent.problems import Problem
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.sandbox import SandboxPolicy, probed

pytestmark = pytest.mark.anyio

KERNELS = probed(wanted=True)
"""The sandbox that this machine offers."""
needs_landlock = pytest.mark.skipif(KERNELS.status != "active", reason="this kernel has no Landlock")

TRIES = dedent("""
    import os, signal, socket, subprocess, sys, time
    from pathlib import Path

    def outcome(way, *arguments):
        try:
            way(*arguments)
        except OSError as error:
            return os.strerror(error.errno)
        return "done"
    """)
WAYS = TRIES + dedent("""
    def ways(folder, elsewhere):
        return {
            "create": lambda: open(f"{folder}/new", "x").close(),
            "overwrite": lambda: open(f"{folder}/file", "w").close(),
            "append": lambda: open(f"{folder}/file", "a").close(),
            "truncate": lambda: os.truncate(f"{folder}/file", 0),
            "make a folder": lambda: os.mkdir(f"{folder}/made"),
            "remove a folder": lambda: os.rmdir(f"{folder}/folder"),
            "rename": lambda: os.rename(f"{folder}/file", f"{folder}/renamed"),
            "move away": lambda: os.rename(f"{folder}/movable", f"{elsewhere}/moved"),
            "link": lambda: os.link(f"{folder}/other", f"{folder}/linked"),
            "link away": lambda: os.link(f"{folder}/other", f"{elsewhere}/linked"),
            "symbolic link": lambda: os.symlink("other", f"{folder}/symbolic"),
            "pipe": lambda: os.mkfifo(f"{folder}/pipe"),
            "socket": lambda: socket.socket(socket.AF_UNIX).bind(f"{folder}/socket"),
            "remove": lambda: os.unlink(f"{folder}/other"),
        }

    def act(folder, elsewhere=None):
        os.chdir(os.environ["HOME"])
        if folder is None:
            folder = "in"
            os.makedirs("in/folder")
            for name in ("file", "movable", "other"):
                Path("in", name).write_text("as it was")
        return {name: outcome(way) for name, way in ways(folder, elsewhere or ".").items()}
    """)


LANDLOCK = replace(KERNELS, namespaces=False)
"""The sandbox of a machine without namespaces."""
NOT_PERMITTED = {"Permission denied", "Read-only file system"}


@pytest.fixture(params=[KERNELS, LANDLOCK] if KERNELS.namespaces else [KERNELS], ids=lambda kind: str(kind.namespaces))
async def sandboxed(data_dir: Path, request: pytest.FixtureRequest) -> AsyncIterator[LocalRunner]:
    """A runner with a sandbox."""
    runner = LocalRunner(data_dir, sandbox=request.param)
    yield runner
    await runner.close()


def furnished(folder: Path) -> Path:
    """Create a folder with a file that an action can try to change."""
    (folder / "folder").mkdir(parents=True)
    for name in ("file", "movable", "other"):
        (folder / name).write_text("as it was")
    return folder


def state(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() if path.is_file() else "" for path in folder.iterdir()}


def test_the_kernel_is_asked_by_trying() -> None:
    """The trial restricts a separate thread, so that this one can still write, and returns the kernel's version."""
    found = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)
    assert (KERNELS.status, KERNELS.landlock_abi) == (("active", found) if found > 0 else ("unavailable", 0))
    assert probed(wanted=False) == SandboxPolicy("off", KERNELS.landlock_abi)
    assert probed(wanted=True, allow_write=[Path("/x")]).allow_write == (Path("/x"),)
    Path(os.devnull).write_text("still")


def test_what_is_restricted_grows_with_the_kernel() -> None:
    """Linux 5.13 restricts writing, later versions more; a sandbox that is off restricts nothing."""
    assert SandboxPolicy("active", 1).restricts == ["write", "ptrace"]
    assert SandboxPolicy("active", 3).restricts == ["write", "ptrace", "truncate"]
    assert SandboxPolicy("active", 7).restricts == [
        *("write", "ptrace", "truncate", "device_ioctl", "signal", "abstract_socket")
    ]
    assert SandboxPolicy("active", 1, namespaces=True).restricts[2:] == ["attributes", "temporary_files", "ipc"]
    assert SandboxPolicy("off", 7, namespaces=True).restricts == []
    assert SandboxPolicy("off", 7).around([Path("/x")]) is None


@needs_landlock
async def test_nothing_is_written_elsewhere(sandboxed, runner, write_plugin, tmp_path):
    """The sandbox refuses each way to change a file or a folder; without it, each works."""
    plugin = write_plugin(WAYS)
    folder = furnished(tmp_path / "folder")
    before = state(folder)
    refused = await plugin.run(sandboxed, {"folder": str(folder)})
    # Moving or linking between folders with different rights fails as between different disks.
    assert set(refused.values()) <= NOT_PERMITTED | {"Invalid cross-device link"}
    assert state(folder) == before
    away = {"folder": str(folder), "elsewhere": str(tmp_path)}
    assert set((await plugin.run(runner, away)).values()) == {"done"}


@needs_landlock
async def test_an_action_does_as_it_likes_in_its_own_folder(sandboxed, write_plugin):
    """HOME and TMPDIR are in that folder."""
    assert set((await write_plugin(WAYS).run(sandboxed, {"folder": None})).values()) == {"done"}


@needs_landlock
async def test_what_is_allowed_can_be_written_to(data_dir, write_plugin, tmp_path):
    """This may be a folder with all its content, or a single file."""
    folder, other = furnished(tmp_path / "folder"), furnished(tmp_path / "other")
    allowed = probed(wanted=True, allow_write=[folder, other / "file"])
    runner = LocalRunner(data_dir, sandbox=allowed)
    plugin = write_plugin(WAYS)
    (folder / "away").mkdir()
    within = {"folder": str(folder), "elsewhere": str(folder / "away")}
    assert set((await plugin.run(runner, within)).values()) == {"done"}
    outcomes = await plugin.run(runner, {"folder": str(other)})
    assert [name for name, outcome in outcomes.items() if outcome == "done"] == ["overwrite", "append", "truncate"]
    await runner.close()


@needs_landlock
async def test_the_agents_own_folders_cannot_be_written_to(sandboxed, data_dir, write_plugin):
    """This covers the release, which is the working folder, its environment, and the agent's other data."""
    source = TRIES + dedent("""
        def act(data):
            touch = lambda folder: Path(folder, "new").touch()
            places = (".", sys.prefix, f"{data}/environments", f"{data}/bytecode", f"{data}/scratch", data)
            return [outcome(touch, place) for place in places]
        """)
    outcomes = await write_plugin(source).run(sandboxed, {"data": str(data_dir)})
    assert len(outcomes) == 6
    assert set(outcomes) <= NOT_PERMITTED


@needs_landlock
async def test_another_runs_folder_cannot_be_written_to(sandboxed, write_plugin, until):
    """This holds while both runs, of one zygote, are running."""
    source = TRIES + dedent("""
        def act(theirs=None):
            if theirs:
                return outcome(Path(theirs, "new").touch)
            home = Path.home()
            (home / "here").touch()
            for _ in range(2000):
                if (home / "done").exists():
                    break
                time.sleep(0.01)
            return str(home)
        """)
    plugin = write_plugin(source)
    going = asyncio.ensure_future(plugin.run(sandboxed))
    scratch = sandboxed._scratch.folder
    await until(lambda: list(scratch.glob("*/*/here")))
    (theirs,) = [path.parent for path in scratch.glob("*/*/here")]
    outcome = await plugin.run(sandboxed, {"theirs": str(theirs)})
    assert outcome == ("No such file or directory" if sandboxed.sandbox.namespaces else "Permission denied")
    (theirs / "done").touch()
    assert await going == str(theirs.parent if sandboxed.sandbox.namespaces else theirs)


@needs_landlock
async def test_what_an_action_starts_is_held_to_the_same(sandboxed, write_plugin, tmp_path):
    """This covers a program, a fork in its own session, and a thread."""
    source = TRIES + dedent("""
        import threading

        def act(folder):
            subprocess.run(["touch", f"{folder}/program"])
            if os.fork() == 0:
                os.setsid()
                os._exit(outcome(Path(folder, "fork").touch) == "done")
            thread = threading.Thread(target=lambda: outcome(Path(folder, "thread").touch))
            thread.start()
            thread.join()
            return os.waitstatus_to_exitcode(os.wait()[1])
        """)
    plugin = write_plugin(source)
    assert await plugin.run(sandboxed, {"folder": str(tmp_path)}) == 0
    assert b"cannot touch" in plugin.heard.log
    assert not {"program", "fork", "thread"} & {path.name for path in tmp_path.iterdir()}


@needs_landlock
async def test_what_programs_take_for_granted_works(sandboxed, write_plugin):
    """These are temporary files, null devices, standard streams by name, locks, queues, worker processes and memfds."""
    source = TRIES + dedent("""
        import concurrent.futures, multiprocessing, tempfile
        from multiprocessing import shared_memory

        def double(number):
            return 2 * number

        def act():
            for device in ("/dev/null", "/dev/zero", "/dev/full"):
                open(device, "w").close()
            print("by name", file=open("/dev/stdout", "w"), flush=True)
            with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryDirectory() as folder:
                file.write(b"x")
                Path(folder, "y").touch()
            os.close(os.memfd_create("unnamed"))
            shared = shared_memory.SharedMemory(create=True, size=100)
            shared.close()
            shared.unlink()
            queue = multiprocessing.Queue()
            queue.put(1)
            with concurrent.futures.ProcessPoolExecutor(2) as pool:
                return [queue.get(), *pool.map(double, [1, 2])]
        """)
    plugin = write_plugin(source)
    assert await plugin.run(sandboxed) == [1, 2, 4]
    assert plugin.heard.log == b"by name\n"


@needs_landlock
@pytest.mark.skipif(KERNELS.landlock_abi < 6, reason="this kernel's Landlock does not restrict signals and sockets")
async def test_an_action_reaches_no_process_but_its_own(sandboxed, write_plugin):
    """It can't signal its zygote, the agent or other processes, or connect to their abstract sockets."""
    source = TRIES + dedent("""
        def act(agent, other):
            child = subprocess.Popen(["sleep", "60"])
            mine, peer, other_peer = (socket.socket(socket.AF_UNIX) for _ in range(3))
            with mine, peer, other_peer:
                mine.bind("")
                mine.listen()
                return {
                    "own child": outcome(os.kill, child.pid, signal.SIGTERM),
                    "own group": outcome(os.killpg, 0, 0),
                    "own socket": outcome(peer.connect, mine.getsockname()),
                    "zygote": outcome(os.kill, os.getppid(), signal.SIGKILL),
                    "agent": outcome(os.kill, agent, signal.SIGKILL),
                    "their socket": outcome(other_peer.connect, bytes.fromhex(other)),
                }
        """)
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind("")
        theirs.listen()
        params = {"agent": os.getpid(), "other": theirs.getsockname().hex()}
        outcomes = await write_plugin(source).run(sandboxed, params)
    assert [name for name, said in outcomes.items() if said == "done"] == ["own child", "own group", "own socket"]
    refused = {said for said in outcomes.values() if said != "done"}
    assert refused <= {"Operation not permitted", "No such process"}  # the second one in its own namespace


@needs_landlock
async def test_an_action_looks_into_no_process_but_its_own(sandboxed, write_plugin):
    """It can't read or trace the agent's memory, not even as root."""
    source = TRIES + dedent("""
        import ctypes

        def traced(pid):
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.ptrace(16, pid, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "")

        def act(agent):
            child = subprocess.Popen(["sleep", "60"])
            looks = [
                outcome(lambda: open(f"/proc/{pid}/{name}", "rb").close())
                for name in ("mem", "environ")
                for pid in (child.pid, agent, os.getppid())
            ]
            return looks + [outcome(traced, pid) for pid in (agent, child.pid)]
        """)
    outcomes = await write_plugin(source).run(sandboxed, {"agent": os.getpid()})
    own, of_others = [outcomes[n] for n in (0, 3)], [outcomes[n] for n in (1, 2, 4, 5, 6, 7)]
    assert own == ["done"] * 2
    missing = {"No such file or directory", "No such process"}  # in its own namespace
    assert set(of_others) <= {"Permission denied", "Operation not permitted"} | missing


@needs_landlock
async def test_a_device_can_neither_be_made_nor_written_to(sandboxed, write_plugin):
    """This holds for root, and in the run's own folder. A device would open the disk below the folder."""
    source = TRIES + dedent("""
        import stat

        def act():
            kinds = (stat.S_IFBLK, stat.S_IFCHR)
            made = [outcome(os.mknod, f"{Path.home()}/{kind}", kind | 0o600, os.makedev(8, 0)) for kind in kinds]
            return made + [outcome(lambda: open("/dev/mem", "wb").close())]
        """)
    refused = await write_plugin(source).run(sandboxed)
    assert "done" not in refused


@needs_landlock
async def test_an_action_of_roots_has_no_capability(sandboxed, runner, write_plugin):
    """It and its programs can't load modules, open raw sockets, or read other users' files."""
    source = """
        import subprocess

        def act():
            own = open("/proc/self/status").read()
            return [own, subprocess.run(["cat", "/proc/self/status"], stdout=subprocess.PIPE, text=True).stdout]
        """
    plugin = write_plugin(source)
    for status in await plugin.run(sandboxed):
        held = [capabilities(status, name) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")]
        assert held == [0] * 4
        if os.geteuid() == 0 or sandboxed.sandbox.namespaces:
            assert capabilities(status, "CapBnd") == 0
    free, _ = await plugin.run(runner)
    assert capabilities(free, "CapEff") == capabilities(own_status(), "CapEff")


@needs_landlock
async def test_an_action_cannot_raise_its_limits(data_dir, write_plugin):
    """In the sandbox, not even root can."""
    source = """
        import resource

        def act():
            resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))
        """
    runner = LocalRunner(data_dir, limits=RunLimits(cpu_time=100), sandbox=KERNELS)
    problem = await write_plugin(source).problem(runner)
    await runner.close()
    assert problem.message == "ValueError: not allowed to raise maximum limit"


def own_status() -> str:
    return Path("/proc/self/status").read_text()


def capabilities(status: str, name: str) -> int:
    (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1], 16)


@needs_landlock
async def test_no_program_gives_an_action_more_rights(sandboxed, runner, write_plugin):
    """`sudo` and similar programs run as the agent's user."""
    source = "def act():\n    return [line for line in open('/proc/self/status') if 'NoNewPrivs' in line]\n"
    plugin = write_plugin(source)
    assert await plugin.run(sandboxed) == ["NoNewPrivs:\t1\n"]
    assert await plugin.run(runner) == ["NoNewPrivs:\t0\n"]


@needs_landlock
@pytest.mark.parametrize(
    ("code", "has_hint"),
    [
        ("open(path + '/new', 'w')", True),
        ("Path(path, 'made').mkdir()", True),
        ("os.rename(path + '/file', path + '/renamed')", True),
        ("open('/no/such/folder/file', 'w')", False),
        ("raise PermissionError('of the plugin itself')", False),
        ("os.kill(os.getppid(), 9)", False),
        ("Path(path, 'locked', 'new').touch()", None),
    ],
)
async def test_a_refusal_has_advice(sandboxed, write_plugin, tmp_path, code, has_hint):
    """The hint appears only if the sandbox is the reason, and not, for example, the mode of a file."""
    (tmp_path / "file").touch()
    plugin = write_plugin(f"import os\nfrom pathlib import Path\n\ndef act(path):\n    {code}\n")
    (tmp_path / "locked").mkdir(mode=0o500)
    problem = await plugin.problem(sandboxed, {"path": str(tmp_path)})
    assert problem.error_type == "action_failed"
    if has_hint is None:  # without its own view, an action can't detect that only the mode forbids it
        has_hint = sandboxed.sandbox.namespaces
    assert ("--allow-write" in problem.message) is has_hint
    assert "--allow-write" not in problem.extra["exception_message"] + problem.extra["traceback"]


@needs_landlock
async def test_debug_runs_are_held_to_the_same(sandboxed, write_plugin, tmp_path):
    """Their folder, a copy, is read-only like that of a release."""
    source = TRIES + dedent("""
        def act(folder):
            return [outcome(Path(place, "new").touch) for place in (folder, ".", Path.home())]
        """)
    outcomes = await write_plugin(source).run(sandboxed, {"folder": str(tmp_path)}, release=None)
    assert set(outcomes[:2]) <= NOT_PERMITTED
    assert outcomes[2] == "done"


@needs_landlock
@pytest.mark.parametrize("requires_python", ["<3.9", "<3.11", ">=3.12"])
async def test_the_sandbox_holds_on_other_pythons(sandboxed, write_plugin, tmp_path, requires_python):
    """The worker's code supports the oldest Python."""
    source = TRIES + "\ndef act(folder):\n    return outcome(Path(folder, 'new').touch)\n"
    plugin = write_plugin(source, requires={"python": requires_python})
    try:
        assert await plugin.run(sandboxed, {"folder": str(tmp_path)}) in NOT_PERMITTED
    except Problem as problem:
        if problem.error_type == "python_not_found":
            pytest.skip(problem.message)
        raise


NESTED = """
import asyncio, contextlib, sys, threading
from pathlib import Path
from synapse_agent.plugins.config import PluginConfig
from synapse_agent.problems import Problem
from synapse_agent.runner.base import Run
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.sandbox import SandboxPolicy, probed
from synapse_agent.runner.synapse_worker import landlock

class Deaf:
    def started(self): pass
    def turn(self): return contextlib.nullcontext()
    def output(self, data): print(data)
    def event(self, event): pass
    def outputs(self, folder, is_over): pass
    def residence(self): return contextlib.nullcontext()

abi = landlock.abi()
landlock.give_up_new_privileges()
for _ in range(16):
    ruleset = landlock.Ruleset(abi)
    ruleset.allow("/")
    ruleset.enforce()
print(probed(wanted=True).status)
config = PluginConfig.from_mapping({"code": "tried", "actions": {"act": "plugin.main:act"}})
run = Run("job", Path(sys.argv[2]), config, "act", release="tried@1.0.0")

async def main():
    runner = LocalRunner(Path(sys.argv[1]), sandbox=SandboxPolicy("active", abi))
    try:
        print(await runner.run(run, Deaf()))
    except Problem as problem:
        print(problem.status, problem.error_type, problem.message)
    await runner.close()

asyncio.run(main())
"""


@needs_landlock
async def test_a_sandbox_that_cannot_be_entered_runs_nothing(data_dir, runner, write_plugin, tmp_path):
    """The kernel allows sixteen levels: an agent at the last one reports it, and runs that exceed it get 503."""
    await write_plugin("def act():\n    return 1\n").run(runner)  # creates the environment
    plugin = write_plugin(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\ndef act():\n    pass\n")
    command = [sys.executable, "-c", NESTED, str(data_dir), str(plugin.folder)]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines() == [
        "unavailable",
        "503 unavailable The agent cannot start another process now: the run's process could not be prepared "
        "([Errno 7] Too many nested sandboxes). Try again later.",
    ], ended.stderr
    assert not (tmp_path / "ran").exists()


GPU = """
import sys
from pathlib import Path
from synapse_agent.runner.synapse_worker import landlock
from synapse_agent.runner.synapse_worker.sandbox import SandboxRules, prepared

prepared(SandboxRules.of([], abi=landlock.abi(), devices=sys.argv[1])).enforce()
for path in (*sorted(Path(sys.argv[1]).rglob("*")), Path("/proc/self/task/self/comm"), Path("/proc/self/comm")):
    try:
        if path.is_file():
            path.open("r+").close()
            print(path.name)
    except PermissionError:
        pass
"""


@needs_landlock
@pytest.mark.parametrize(
    ("devices", "usable"),
    [
        (["null", "sda", "nvme0n1", "kvm", "input/mouse"], ["null"]),
        (["dri/card0", "kfd", "nvram"], ["card0", "kfd"]),
        (["nvidia0", "nvidiactl", "nvidia-caps/cap1"], ["cap1", "nvidia0", "nvidiactl", "comm"]),
    ],
)
def test_gpus_can_be_used(tmp_path, devices, usable):
    """Their devices are allowed by name; with NVIDIA's, processes can name their threads, which CUDA requires."""
    for device in devices:
        (tmp_path / device).parent.mkdir(exist_ok=True)
        (tmp_path / device).touch()
    ended = subprocess.run([sys.executable, "-c", GPU, tmp_path], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == usable


BACKEND = """
import os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    open(r"{path}", "w").close()
    info = "greedy-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(folder, "greedy-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("greedy.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: greedy\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return "greedy-1.0-py3-none-any.whl"
"""
PYPROJECT = """
[project]
name = "greedy"
version = "1.0"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


def write_source_package(folder: Path, files: Mapping[str, str]) -> None:
    with tarfile.open(folder / "greedy-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"greedy-1.0/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))


@needs_landlock
async def test_what_builds_a_requirement_writes_nowhere_else_either(
    tmp_path: Path, write_plugin: Callable[..., Any]
) -> None:
    """Building a package runs its own code, which could write anywhere without the sandbox."""
    packages, path = tmp_path / "packages", tmp_path / "written"
    packages.mkdir()
    files = {"pyproject.toml": PYPROJECT, "PKG-INFO": "Metadata-Version: 2.1\nName: greedy\nVersion: 1.0\n"}
    write_source_package(packages, {**files, "backend.py": BACKEND.replace("{path}", str(path))})
    environ = {**os.environ, "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(packages)}
    plugin = write_plugin("import greedy\n\ndef act():\n    return 1\n", requirements="greedy==1.0")
    for sandbox in (KERNELS, SandboxPolicy("off")):
        environ["UV_CACHE_DIR"] = str(tmp_path / f"cache-{sandbox.status}")
        runner = LocalRunner(tmp_path / f"data-{sandbox.status}", sandbox=sandbox, environ=environ)
        if sandbox.status == "active":
            problem = await plugin.problem(runner)
            assert problem.error_type == "requirements_failed"
            assert f"PermissionError: [Errno 13] Permission denied: '{path}'" in problem.extra["installer_output"]
            assert not path.exists()
            assert not any(path.is_file() for path in runner._scratch.folder.rglob("*"))
        else:
            assert await plugin.run(runner) == 1
            assert path.exists()
        await runner.close()
