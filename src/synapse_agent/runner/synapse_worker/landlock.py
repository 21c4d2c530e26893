"""Landlock: a process drops file access rights, for itself and all that it will ever start.

The kernel's interface grew in numbered steps, its ABI; features that a kernel lacks are omitted. Only writing
is restricted here: creating, changing, moving and removing. See `landlock(7)`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct

from .kernel import check, libc

WRITE_FILE = 1 << 1
_REMOVE_AND_MAKE = 0b1_1111_1111 << 4
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_ABI_OF_RIGHT = ((1, WRITE_FILE | _REMOVE_AND_MAKE), (2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))
_FOR_FILES = WRITE_FILE | _TRUNCATE | _IOCTL_DEV
_NEVER_GRANTED = _MAKE_CHAR | _MAKE_BLOCK  # root could create a device for any disk
_SCOPES = 0b11  # abstract Unix sockets, signals
_ABI_OF_SCOPES = 6

_SYS_CREATE_RULESET, _SYS_ADD_RULE, _SYS_RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38


def abi() -> int:
    """Return the kernel's Landlock ABI; 0 if it is missing, switched off, or forbidden by a container's rules."""
    found: int = libc.syscall(_SYS_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION)
    return max(found, 0)


class Ruleset:
    """The rights that a process keeps when it drops the right to write."""

    def __init__(self, abi: int) -> None:
        self._handled = sum(right for since, right in _ABI_OF_RIGHT if abi >= since)
        scopes = _SCOPES if abi >= _ABI_OF_SCOPES else 0
        attributes = struct.pack("=QQQ", self._handled, 0, scopes)
        size = ctypes.c_size_t(len(attributes))
        self._descriptor = check(libc.syscall(_SYS_CREATE_RULESET, attributes, size, 0))

    def allow(self, path: str, rights: int = ~_NEVER_GRANTED) -> None:
        """Keep the rights to a file, or to a folder and all below it; raise `OSError` if it is missing."""
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            fitting = -1 if stat.S_ISDIR(os.fstat(beneath).st_mode) else _FOR_FILES
            rule = struct.pack("=Qi", self._handled & rights & fitting, beneath)
            check(libc.syscall(_SYS_ADD_RULE, self._descriptor, _RULE_PATH_BENEATH, rule, 0))
        finally:
            os.close(beneath)

    def enforce(self) -> None:
        """Drop everything else permanently; the calling thread must have renounced new privileges before."""
        try:
            check(libc.syscall(_SYS_RESTRICT_SELF, self._descriptor, 0))
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise OSError(errno.E2BIG, "Too many nested sandboxes") from None
            raise
        self.close()

    def close(self) -> None:
        """Close the ruleset; what is enforced stays enforced."""
        os.close(self._descriptor)


def give_up_new_privileges() -> None:
    """Make programs that would run as another user, such as `sudo`, run as this one; Landlock requires it."""
    check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
