"""What a process has besides its own memory, and would lose at a fork or share with forked processes."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

from .kernel import own_children

_SURVIVING = ("jemalloc_bg_thd",)
"""Threads whose libraries restore them after a fork."""
_GRACE_SECONDS = 0.1
"""How long a thread that is ending may take."""
_OF_GPUS = ("/dev/nvidia", "/dev/kfd", "/dev/dri/")
_HARMLESS = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


class Surroundings:
    """What a process had at some time; `faults` lists what was added since."""

    def __init__(self) -> None:
        self._files = _open_files()
        self._shared = _shared_memory()

    def faults(self) -> list[str]:
        """List what has been added since then that does not survive forks."""
        files = {path for number, path in _open_files().items() if number not in self._files}
        threads = _lost_threads()
        faults = []
        if threads:
            cause = "gRPC is initialized, and threads run" if "grpc" in sys.modules else "threads run"
            faults.append(f"{cause} ({', '.join(threads)})")
        if _has_gpu(files):
            faults.append("CUDA, or a similar library, is initialized")
        elif files:
            faults.append(f"these are open: {', '.join(sorted(files))}")
        if own_children():
            faults.append("it has started processes")
        if shared := _shared_memory() - self._shared:
            faults.append(f"memory is shared ({', '.join(sorted(shared))})")
        return faults


def _open_files() -> dict[int, str]:
    """Return what each descriptor refers to, without stateless devices."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            path = os.readlink(f"/proc/self/fd/{number}")
            if path not in _HARMLESS:
                found[int(number)] = path
    return found


def _shared_memory() -> set[str]:
    """Return the names of mappings through which forked processes can write to each other's memory."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        lines = [line.split(None, 5) for line in maps]
    return {line[-1].strip() for line in lines if line[1][1] == "w" and line[1][3] == "s"}


def _lost_threads() -> list[str]:
    """Return the threads that a fork loses, found by forking: those of OpenBLAS and the like end themselves."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    give_up_at = time.monotonic() + _GRACE_SECONDS
    while (threads := _other_threads()) and time.monotonic() < give_up_at:
        time.sleep(_GRACE_SECONDS / 20)
    return threads


def _other_threads() -> list[str]:
    names = {}
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError), open(f"/proc/self/task/{thread}/comm", encoding="utf-8", errors="replace") as comm:
            names[int(thread)] = comm.read().strip()
    del names[_main_thread()]
    native = [name for name in names.values() if name not in _SURVIVING]
    threading = sys.modules.get("threading")
    if threading is None or not native:
        return native
    main = threading.main_thread()
    own = [each.name for each in threading.enumerate() if each is not main]
    return [*own, *native[len(own) :]]


def _main_thread() -> int:
    """Return this thread's number in the `/proc` that this process sees, which may be the machine's."""
    return int(os.path.basename(os.readlink("/proc/thread-self")))


def _has_gpu(files: set[str]) -> bool:
    torch = sys.modules.get("torch")
    is_initialized = getattr(getattr(torch, "cuda", None), "is_initialized", None)
    return any(path.startswith(_OF_GPUS) for path in files) or (is_initialized is not None and bool(is_initialized()))
