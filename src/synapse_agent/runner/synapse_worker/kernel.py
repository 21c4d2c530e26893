"""What Python's standard library does not offer of the kernel, or only with more around it than a new process can use.

`_signal` and `_socket` are what `signal` and `socket` are built on. Their enumerations and classes cost a process that
was forked a moment ago more than all that they do for it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from _signal import SIG_DFL, default_int_handler  # type: ignore[import-not-found] # private, and always there
from _signal import signal as set_handler
from _socket import CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET, socket

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_DESCRIPTOR = struct.Struct("i")
_READ_BYTES = 65_536
_SYS_PIDFD_OPEN = 434  # the same number on every architecture

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
_prctl = libc.prctl


def become_subreaper() -> None:
    """Make this process the parent of every descendant whose own parent ends."""
    check(_prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def end_when_told() -> None:
    """Let SIGTERM and SIGINT do what they do in a new interpreter."""
    set_handler(signal.SIGTERM, SIG_DFL)
    set_handler(signal.SIGINT, default_int_handler)


def die_with_parent(parent: int) -> None:
    """Have this process killed as soon as its parent, `parent`, ends, be it already."""
    check(_prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0))
    if os.getppid() != parent:
        os._exit(1)


def pidfd_open(pid: int) -> int:
    """Give a descriptor that polls readable once the child has ended."""
    descriptor: int = libc.syscall(_SYS_PIDFD_OPEN, pid, 0)
    return check(descriptor)


def open_children() -> int:
    """Open the list of this process's children, zombies among them; only right for a process of one thread."""
    pid = os.getpid()
    return os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY)


def read_children(listing: int) -> list[int]:
    """Read the list as it is now."""
    text = b""
    while True:
        part = os.pread(listing, _READ_BYTES, len(text))
        if not part:
            return [int(child) for child in text.split()]
        text += part


def receive(connection: socket, size: int) -> tuple[bytes, list[int]]:
    """Receive one message and the descriptors that came with it; an empty message is the other side's end."""
    data, ancillary, _, _ = connection.recvmsg(size, CMSG_SPACE(8 * _DESCRIPTOR.size))
    descriptors: list[int] = []
    for level, kind, payload in ancillary:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            whole = payload[: len(payload) - len(payload) % _DESCRIPTOR.size]
            descriptors += [descriptor for (descriptor,) in _DESCRIPTOR.iter_unpack(whole)]
    return data, descriptors


def send(connection: socket, data: bytes, descriptors: list[int]) -> None:
    """Send one message with descriptors."""
    payload = b"".join([_DESCRIPTOR.pack(descriptor) for descriptor in descriptors])
    connection.sendmsg([data], [(SOL_SOCKET, SCM_RIGHTS, payload)])


def check(value: int) -> int:
    """Give what a call of the C library returned, or raise the `OSError` that it says."""
    if value < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return value
