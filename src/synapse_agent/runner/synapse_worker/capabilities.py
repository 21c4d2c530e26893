"""Privileges of root besides access to its own files. No action needs them.

See `capabilities(7)`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from contextlib import suppress

from .kernel import check, libc

SYS_ADMIN = 21
"""In a user namespace: to mount, and to create other namespaces."""
_MOST = 64
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Half(ctypes.Structure):
    """One of two structures with 32 capabilities each."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


_Halves = _Half * 2
_HEADER, _NONE = ctypes.byref(_Header(_VERSION_3, 0)), ctypes.byref(_Halves())
_capset = libc.capset  # looked up once, like its arguments: a run drops its capabilities while its caller waits


def bound_programs() -> None:
    """Prevent every program that this process and its descendants will run from gaining capabilities."""
    for number in filter(_is_bound, range(_MOST)):
        with suppress(PermissionError):  # without SETPCAP, which root may lack
            check(libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0))
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def give_up_capabilities() -> None:
    """Drop all capabilities permanently."""
    check(_capset(_HEADER, _NONE))


def keep_capabilities(kept: Iterable[int]) -> None:
    """Drop all capabilities except these permanently."""
    halves = _Halves()
    for number in kept:
        halves[number // 32].effective |= 1 << number % 32
        halves[number // 32].permitted |= 1 << number % 32
    check(_capset(_HEADER, ctypes.byref(halves)))


def _is_bound(number: int) -> bool:
    return bool(libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) == 1)
