"""What Python's standard library does not offer of the kernel: `prctl`, `pidfd_open`, descriptors by message."""

from __future__ import annotations

import array
import ctypes
import os
import signal
import socket

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SYS_PIDFD_OPEN = 434  # the same number on every architecture

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def become_subreaper() -> None:
    """Make this process the parent of every descendant whose own parent ends."""
    check(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def die_with_parent(parent: int) -> None:
    """Have this process killed as soon as its parent, `parent`, ends, be it already."""
    check(libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0))
    if os.getppid() != parent:
        os._exit(1)


def pidfd_open(pid: int) -> int:
    """Give a descriptor that polls readable once the child has ended."""
    descriptor: int = libc.syscall(_SYS_PIDFD_OPEN, pid, 0)
    return check(descriptor)


def children() -> list[int]:
    """List this process's children, zombies among them; only right for a process of one thread."""
    pid = os.getpid()
    with open(f"/proc/{pid}/task/{pid}/children", "rb") as listing:
        return [int(child) for child in listing.read().split()]


def receive(connection: socket.socket, size: int) -> tuple[bytes, list[int]]:
    """Receive one message and the descriptors that came with it; an empty message is the other side's end."""
    descriptors = array.array("i")
    data, ancillary, _, _ = connection.recvmsg(size, socket.CMSG_SPACE(8 * descriptors.itemsize))
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    return data, list(descriptors)


def send(connection: socket.socket, data: bytes, descriptors: list[int]) -> None:
    """Send one message with descriptors."""
    connection.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])


def check(value: int) -> int:
    """Give what a call of the C library returned, or raise the `OSError` that it says."""
    if value < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return value
