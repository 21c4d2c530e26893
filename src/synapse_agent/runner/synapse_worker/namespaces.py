"""Namespaces and mounts: what a process sees of the machine, and what it may change.

See `user_namespaces(7)`, `mount_setattr(2)` and `open_tree(2)`.
"""

from __future__ import annotations

import ctypes
import os
import struct
from _socket import socket
from contextlib import suppress

from .kernel import check, libc, send, write_into

MOUNTS, IPC, PROCESSES = 0x0002_0000, 0x0800_0000, 0x2000_0000
_USER = 0x1000_0000
PID_MAX = "/proc/sys/kernel/pid_max"
_RESERVED = 301
"""Process IDs that the kernel does not use again after it has used all; also the lowest possible bound."""

_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
_AT_FDCWD = -100
_AT_EMPTY_PATH, _AT_RECURSIVE = 0x1000, 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_RDONLY = 1
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    check(libc.unshare(flags))


def enter_user_namespace(flags: int) -> None:
    """Move this process into a new user namespace and, within it, into other new ones.

    There it is the same user, with every capability for what belongs to the new namespaces.
    """
    user, group = os.geteuid(), os.getegid()
    unshare(_USER | flags)
    write_into("/proc/self/setgroups", b"deny")
    write_into("/proc/self/uid_map", f"{user} {user} 1".encode())
    write_into("/proc/self/gid_map", f"{group} {group} 1".encode())


def leave_mounts(connection: socket) -> None:
    """Send this process's mount namespace to the other end of a socket, which keeps it until that end is closed.

    The kernel takes a good part of a millisecond to undo all mounts. The end of this process would wait for that.
    """
    with suppress(OSError):  # without it, the process ends later
        descriptor = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            send(connection, b"m", [descriptor])
        finally:
            os.close(descriptor)


def clone_tree(path: str, *, below: int = _AT_FDCWD) -> int:
    """Copy the mounts at a path, and below it, into a detached tree."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE
    return check(libc.syscall(_SYS_OPEN_TREE, below, os.fsencode(path), flags))


def make_read_only(path: str, *, tree: int = _AT_FDCWD, recursive: bool = True) -> None:
    """Make the mounts at a path, and below it, read-only; with an empty path, those of a tree."""
    attributes = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    size = ctypes.c_size_t(len(attributes))
    check(libc.syscall(_SYS_MOUNT_SETATTR, tree, os.fsencode(path), flags, attributes, size))


def attach(tree: int, path: str) -> None:
    """Mount a tree over a path, and close its descriptor."""
    try:
        check(libc.syscall(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(path), _MOVE_MOUNT_F_EMPTY_PATH))
    finally:
        os.close(tree)


def mount_memory(path: str, options: str) -> None:
    """Mount a new file system in memory over a folder."""
    flags = _MS_NOSUID | _MS_NODEV
    check(libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", ctypes.c_ulong(flags), options.encode()))


def mount_processes() -> None:
    """Mount a `/proc` of this process's namespace over the machine's."""
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    check(libc.mount(b"proc", b"/proc", b"proc", ctypes.c_ulong(flags), None))


def counts_processes() -> bool:
    """Return whether each PID namespace has a bound of its own; before Linux 6.14 the only one is the machine's."""
    release = os.uname().release.split(".")
    return (int(release[0]), int(release[1].partition("-")[0])) >= (6, 14)


def bound_processes(most: int) -> None:
    """Bound the processes and threads of this process's PID namespace, for root as well; 0 does nothing."""
    if most and counts_processes():
        with suppress(OSError):  # in a container whose `/proc/sys` is read-only
            write_into(PID_MAX, str(most + _RESERVED).encode())
