"""Kernel functions that Python's standard library lacks, or offers only with too much overhead for a new process.

`_signal` and `_socket` are the base of `signal` and `socket`, whose enumerations and classes cost a process
that was just forked more than everything that they do for it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from _signal import (  # type: ignore[import-not-found] # private, but always present
    SIG_DFL,
    SIG_UNBLOCK,
    default_int_handler,
    pthread_sigmask,
)
from _signal import signal as set_handler
from _socket import CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET, socket
from contextlib import suppress
from functools import lru_cache

STOPS = (int(signal.SIGTERM), int(signal.SIGINT))
"""The signals that ask a process to end."""
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_KILL_FIRST = b"500"  # of 1000
_DESCRIPTOR = struct.Struct("i")
_BACKGROUND_NICE = 5
_READ_BYTES = 65_536
_VMSTAT = "/proc/vmstat"
_STATUS = 49
"""Index of the exit code in `/proc/PID/stat`, after the name."""
_SYS_PIDFD_OPEN = 434  # the same number on every architecture

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
_prctl = libc.prctl


def become_subreaper() -> None:
    """Make this process the parent of every descendant whose own parent ends."""
    check(_prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def offer_to_the_oom_killer() -> None:
    """Make the kernel, when out of memory, kill this process or one that it starts before the agent."""
    write_into("/proc/self/oom_score_adj", _KILL_FIRST)


def oom_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory since the machine started."""
    try:
        vmstat = os.open(_VMSTAT, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    text = b""
    try:
        while part := os.read(vmstat, _READ_BYTES):  # a page at a time
            text += part
    finally:
        os.close(vmstat)
    _, _, after = text.partition(b"\noom_kill ")
    return int(after.split(maxsplit=1)[0]) if after else 0


def write_into(path: str, data: bytes) -> None:
    """Write to one of the kernel's files, by one call."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def yield_to_others() -> None:
    """Leave this process a quarter of a processor that another process needs, too.

    A kernel that shares processors among sessions ignores `nice` between processes of different ones: see `sched(7)`.
    """
    os.nice(_BACKGROUND_NICE)
    with suppress(OSError):  # a kernel without such shares, or one that has changed another session's just now
        write_into("/proc/self/autogroup", b"%d" % _BACKGROUND_NICE)


def handle_stops_as_usual() -> None:
    """Reset SIGTERM and SIGINT to the handlers of a new interpreter."""
    set_handler(signal.SIGTERM, SIG_DFL)
    set_handler(signal.SIGINT, default_int_handler)


def end_when_told() -> None:
    """Accept SIGTERM and SIGINT again; a pending one takes effect now."""
    pthread_sigmask(SIG_UNBLOCK, STOPS)


def die_with_parent(parent: int) -> None:
    """Make the kernel kill this process when its parent, `parent`, ends; exit at once if it already has."""
    check(_prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0))
    if os.getppid() != parent:
        os._exit(1)


def pidfd_open(pid: int) -> int:
    """Return a descriptor that polls readable once the process has ended."""
    descriptor: int = libc.syscall(_SYS_PIDFD_OPEN, pid, 0)
    return check(descriptor)


def own_children() -> list[int]:
    """List this process's children, including zombies; only correct for a process with one thread."""
    listing = os.open("/proc/thread-self/children", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while True:
            part = os.pread(listing, _READ_BYTES, len(text))
            if not part:
                break
            text += part
    finally:
        os.close(listing)
    children = [int(child) for child in text.split()]
    if has_own_proc():
        return children
    return [pid for child in children for pid in _in_own_namespace(child)]


def exit_status(pid: int) -> int | None:
    """Return the wait status of an ended process that its parent has not reaped; None for any other."""
    try:
        stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fields = os.read(stat, _READ_BYTES).rpartition(b")")[2].split()
    except OSError:
        return None
    finally:
        os.close(stat)
    return int(fields[_STATUS]) if fields[0] == b"Z" and has_own_proc() else None


@lru_cache
def has_own_proc() -> bool:
    """Return whether the `/proc` here is of this process's PID namespace; call this only once it is mounted."""
    return os.readlink("/proc/self") == str(os.getpid())


def _in_own_namespace(pid: int) -> list[int]:
    """Return the ID, in its own PID namespace, of a process in the machine's `/proc`; an empty list if it is gone."""
    with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/status", "rb") as status:
        return [int(line.split()[-1]) for line in status if line.startswith(b"NSpid:")]
    return []


def keep_from_being_traced() -> None:
    """Prevent other processes of this user from reading this one's memory and from tracing it."""
    check(_prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def stay_as_traceable_as_others() -> None:
    """Undo `keep_from_being_traced` in a forked process."""
    check(_prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0))


def receive(connection: socket, size: int, most: int = 8, *, flags: int = 0) -> tuple[bytes, list[int]]:
    """Receive one message with its descriptors; an empty message means that the other side has closed."""
    data, ancillary, _, _ = connection.recvmsg(size, CMSG_SPACE(most * _DESCRIPTOR.size), flags)
    descriptors: list[int] = []
    for level, kind, payload in ancillary:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            whole = payload[: len(payload) - len(payload) % _DESCRIPTOR.size]
            descriptors += [descriptor for (descriptor,) in _DESCRIPTOR.iter_unpack(whole)]
    return data, descriptors


def send(connection: socket, data: bytes, descriptors: list[int]) -> None:
    """Send one message with descriptors."""
    if not descriptors:
        connection.send(data)
        return
    payload = b"".join([_DESCRIPTOR.pack(descriptor) for descriptor in descriptors])
    connection.sendmsg([data], [(SOL_SOCKET, SCM_RIGHTS, payload)])


def check(value: int) -> int:
    """Return the result of a C library call, or raise the `OSError` for its errno."""
    if value < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return value
