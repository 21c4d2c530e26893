"""No known attempt to escape from the sandbox succeeds, and what actions need works.

The attempts are in `attempts.py`. The table in docs/guides/security.md shows what each machine refuses.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.runner.local import LocalRunner

from .conftest import KERNELS, Plugin

pytestmark = pytest.mark.anyio

ATTEMPTS = (Path(__file__).parent / "attempts.py").read_text(encoding="utf-8")
OPEN: dict[str, set[str]] = {
    "namespaces": set(),
    "landlock": {"Attributes.mode", "Attributes.owner", "Attributes.times", "Attributes.attribute"},
}
"""Attempts that succeed, as documented."""
Write = Callable[[str], Plugin]


def shared_files() -> list[Path]:
    return list(Path("/dev/shm").iterdir())


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


async def test_no_attempt_succeeds(
    confined: LocalRunner, kind: str, write: Write, outside: Path, limits_of: Callable[[int], Any]
) -> None:
    """The kernel refuses each with an ordinary error, and nothing has changed afterwards."""
    agent = os.getpid()
    before = limits_of(agent)
    with socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("")
        abstract.listen()
        where = {"outside": str(outside), "abstract": abstract.getsockname().hex(), "agent": agent}
        outcomes = await write(ATTEMPTS).run(confined, **where)
    done = {name for name, outcome in outcomes.items() if outcome == "done"}
    assert done == OPEN[kind]
    assert len(outcomes) > 90
    assert contents(outside) == {"file": "as it was"}
    assert limits_of(agent) == before


async def test_a_run_finds_nothing_that_another_left(confined: LocalRunner, kind: str, write: Write) -> None:
    """The next run finds no shared memory, queues, semaphores or files; its own keys still work."""
    source = """
        import ctypes, os
        from multiprocessing import shared_memory
        from pathlib import Path

        libc = ctypes.CDLL(None, use_errno=True)

        def act(name):
            found = [path.name for folder in ("/dev/shm", "/tmp", "/var/tmp") for path in Path(folder).glob(name)]
            segment = libc.shmget(4711, 100, 0o600)
            queue = libc.msgget(4711, 0o600)
            shared = shared_memory.SharedMemory(name, create=True, size=10)
            shared.buf[0] = 1
            made = libc.shmget(4711, 100, 0o600 | 0o1000), libc.msgget(4711, 0o600 | 0o1000)
            Path("/dev/shm", name + ".file").touch()
            return found, segment, queue, min(made) >= 0
        """
    name = f"escape-{os.getpid()}"
    plugin = write(source)
    if kind == "namespaces":
        for _ in range(4):
            assert await plugin.run(confined, name=name) == [[], -1, -1, True]
    else:  # as in the table: System V IPC is refused there, and all share /dev/shm
        assert await plugin.run(confined, name=name) == [[], -1, -1, False]
    left = [path for path in shared_files() if path.name.startswith(name)]
    assert not left or kind == "landlock"
    for path in left:
        path.unlink()


async def test_what_actions_need_works(confined: LocalRunner, write: Write) -> None:
    """All start methods of multiprocessing, locks, shared memory, threads, affinity, faulthandler, programs."""
    source = """
        import concurrent.futures, ctypes, faulthandler, mmap, multiprocessing, os, resource, signal, socket, subprocess
        import sys, tempfile, threading, time
        from multiprocessing import shared_memory
        from pathlib import Path

        def double(number):
            return 2 * number

        def ways():
            def pools():
                for method in ("fork", "spawn", "forkserver"):
                    context = multiprocessing.get_context(method)
                    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
                        assert list(pool.map(double, [1, 2])) == [2, 4]

            def locks():
                with multiprocessing.Lock(), multiprocessing.Manager() as manager:
                    manager.list([1])

            def memory():
                block = shared_memory.SharedMemory(create=True, size=10)
                block.close()
                block.unlink()

            def threads():
                with concurrent.futures.ThreadPoolExecutor(4) as pool:
                    assert list(pool.map(double, range(4))) == [0, 2, 4, 6]

            def placing():
                os.sched_setaffinity(0, os.sched_getaffinity(0))
                os.sched_setaffinity(threading.get_native_id(), os.sched_getaffinity(0))
                os.nice(1)
                os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + 1)

            def limits():
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                resource.prlimit(0, resource.RLIMIT_NOFILE, (soft, hard))
                resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE)

            def handlers():
                faulthandler.enable()
                faulthandler.dump_traceback_later(60)
                faulthandler.cancel_dump_traceback_later()

            def programs():
                assert subprocess.run(["true"]).returncode == 0
                child = subprocess.Popen(["sleep", "60"], start_new_session=True)
                os.killpg(child.pid, signal.SIGTERM)
                assert child.wait() == -signal.SIGTERM

            def sockets():
                with socket.create_server(("127.0.0.1", 0)) as server:
                    socket.create_connection(server.getsockname()).close()
                with socket.socket(socket.AF_UNIX) as server:
                    server.bind(str(Path.home() / "socket"))

            def callbacks():
                kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
                assert kind(double)(21) == 42
                mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)

            def files():
                with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryDirectory() as folder:
                    os.link(file.name, f"{folder}/linked")
                    os.rename(f"{folder}/linked", f"{folder}/renamed")
                    os.chmod(f"{folder}/renamed", 0o600)

            def itself():
                assert "Name:" in Path("/proc/self/status").read_text()
                if os.readlink("/proc/self") == str(os.getpid()):  # not where parts of `/proc` are masked
                    assert str(os.getpid()) in os.listdir("/proc")

            return {name: way for name, way in locals().items() if callable(way)}

        def act():
            outcomes = {}
            for name, way in ways().items():
                try:
                    way()
                except Exception as error:
                    outcomes[name] = repr(error)
            return outcomes
        """
    assert await write(source).run(confined) == {}


@pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="no GPU of NVIDIA's here")
async def test_a_gpu_can_be_used(confined: LocalRunner, write: Write) -> None:
    """The run can write to its devices and name threads, as CUDA does, but can't write to a disk's device."""
    source = """
        import os, threading
        from pathlib import Path

        def act():
            def can_write(path):
                try:
                    os.close(os.open(path, os.O_RDWR))
                except OSError:
                    return False
                return True

            names = ["nvidiactl", *(str(path.relative_to("/dev")) for path in Path("/dev").glob("dri/render*"))]
            comm = os.open(f"/proc/self/task/{threading.get_native_id()}/comm", os.O_RDWR)  # as pthread_setname_np does
            os.write(comm, b"cuda")
            disks = [path for path in Path("/dev").iterdir() if path.name.startswith(("nvme", "sd", "vd"))]
            return [name for name in names if not can_write(f"/dev/{name}")], list(map(str, filter(can_write, disks)))
        """
    assert await write(source).run(confined) == [[], []]


def test_an_action_cannot_call_the_agents_own_api(write: Write, tmp_path: Path) -> None:
    """It reaches the address, but finds the token neither in a variable nor in the agent's file."""
    source = """
        import os, urllib.error, urllib.request
        from pathlib import Path

        def act(url, data):
            try:
                urllib.request.urlopen(url + "/jobs/", timeout=10)
                status = 200
            except urllib.error.HTTPError as error:
                status = error.code
            try:
                found = Path(data, "token").read_text()
            except OSError as error:
                found = os.strerror(error.errno)
            return status, found, [name for name in os.environ if "TOKEN" in name]
        """
    folder = write(source).folder
    data = tmp_path / "data"
    data.mkdir()
    (data / "token").write_text("secret")
    with EmbeddedAgent(data_dir=data) as agent, agent.client() as client:
        config = {"actions": {"act": "main:act"}}
        params = {"url": agent.base_url, "data": str(data)}
        answer = client.run_debug_plugin_release("act", params=params, plugin_path=str(folder), config=config)
    assert answer[0] == 401
    assert answer[1] == ("No such file or directory" if KERNELS.namespaces else "secret")
    assert answer[2] == []
