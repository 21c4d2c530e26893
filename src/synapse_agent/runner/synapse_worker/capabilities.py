"""What root may do besides reading and writing files, most of which a sandboxed action is better off without.

Landlock knows files and processes. A kernel module, a raw disk or another clock are none, and root can reach each.
See `capabilities(7)`.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

from .kernel import check, libc

_KEPT = frozenset(
    [
        *(0, 1, 3, 4),  # CHOWN, DAC_OVERRIDE, FOWNER, FSETID
        *(5, 6, 7, 8),  # KILL, SETGID, SETUID, SETPCAP
        *(10, 13),  # NET_BIND_SERVICE, NET_RAW
        *(14, 23),  # IPC_LOCK, SYS_NICE: memory that GPUs and network cards reach into, the placing of threads
        *(18, 29, 31),  # SYS_CHROOT, AUDIT_WRITE, SETFCAP
    ]
)
"""What root has in a container, without MKNOD, and two that computing asks for."""
_MOST = 64
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Half(ctypes.Structure):
    """One of the two that hold 32 capabilities each."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


_Halves = _Half * 2


def give_up_capabilities() -> None:
    """Give up what an action need not be able to do, for good, for this process and all that it starts.

    For users who can nothing special there is nothing to give up.
    """
    halves = _read()
    if not any(half.permitted for half in halves):
        return
    for number in filter(_is_bound, set(range(_MOST)) - _KEPT):
        with suppress(PermissionError):  # without SETPCAP; programs that it starts may then have them again
            check(libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0))
    for index, half in enumerate(halves):
        kept = sum(1 << number - 32 * index for number in _KEPT if number // 32 == index)
        half.effective &= kept
        half.permitted &= kept
        half.inheritable &= kept
    check(libc.capset(ctypes.byref(_Header(_VERSION_3, 0)), halves))


def _is_bound(number: int) -> bool:
    return bool(libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) == 1)


def _read() -> ctypes.Array[_Half]:
    halves = _Halves()
    check(libc.capget(ctypes.byref(_Header(_VERSION_3, 0)), halves))
    return halves
