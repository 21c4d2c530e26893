"""Seccomp: make system calls and arguments that no action needs fail with EPERM, permanently.

Namespaces and Landlock prevent most of what a run could do to others. The rest are calls that only require that
two processes have the same user (`prlimit`, `setpriority`, `sched_setscheduler`, `ioprio_set`), kernel objects that
belong to the user (keyrings), and parts of the kernel that mainly enlarge its attack surface (`io_uring`, `bpf`, mounts
in user namespaces). See `seccomp(2)` and `bpf(2)`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from typing import NamedTuple

from .kernel import check, libc

_X86_64 = {
    "acct": 163, "add_key": 248, "bpf": 321, "chroot": 161, "clock_settime": 227, "clone": 56, "delete_module": 176,
    "fanotify_init": 300, "finit_module": 313, "init_module": 175, "ioctl": 16, "ioperm": 173, "iopl": 172,
    "ioprio_set": 251, "kcmp": 312, "kexec_file_load": 320, "kexec_load": 246, "keyctl": 250, "mount": 165,
    "mq_open": 240, "msgctl": 71, "msgget": 68, "msgrcv": 70, "msgsnd": 69, "open_by_handle_at": 304,
    "perf_event_open": 298, "pivot_root": 155, "prlimit64": 302, "process_vm_readv": 310, "process_vm_writev": 311,
    "ptrace": 101, "quotactl": 179, "reboot": 169, "request_key": 249, "sched_setattr": 314, "sched_setparam": 142,
    "sched_setscheduler": 144, "semctl": 66, "semget": 64, "semop": 65, "semtimedop": 220, "setdomainname": 171,
    "sethostname": 170, "setns": 308, "setpriority": 141, "settimeofday": 164, "shmat": 30, "shmctl": 31,
    "shmdt": 67, "shmget": 29, "socket": 41, "swapoff": 168, "swapon": 167, "syslog": 103, "umount2": 166,
    "unshare": 272, "userfaultfd": 323,
}  # fmt: skip
_AARCH64 = {
    "acct": 89, "add_key": 217, "bpf": 280, "chroot": 51, "clock_settime": 112, "clone": 220, "delete_module": 106,
    "fanotify_init": 262, "finit_module": 273, "init_module": 105, "ioctl": 29, "ioprio_set": 30, "kcmp": 272,
    "kexec_file_load": 294, "kexec_load": 104, "keyctl": 219, "mount": 40, "mq_open": 180, "msgctl": 187,
    "msgget": 186, "msgrcv": 188, "msgsnd": 189, "open_by_handle_at": 265, "perf_event_open": 241, "pivot_root": 41,
    "prlimit64": 261, "process_vm_readv": 270, "process_vm_writev": 271, "ptrace": 117, "quotactl": 60,
    "reboot": 142, "request_key": 218, "sched_setattr": 274, "sched_setparam": 118, "sched_setscheduler": 119,
    "semctl": 191, "semget": 190, "semop": 193, "semtimedop": 192, "setdomainname": 162, "sethostname": 161,
    "setns": 268, "setpriority": 140, "settimeofday": 170, "shmat": 196, "shmctl": 195, "shmdt": 197,
    "shmget": 194, "socket": 198, "swapoff": 225, "swapon": 224, "syslog": 116, "umount2": 39, "unshare": 97,
    "userfaultfd": 282,
}  # fmt: skip
_EVERYWHERE = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435, "pidfd_getfd": 438,
    "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443,
}  # fmt: skip
_MACHINES = {"x86_64": (0xC000_003E, _X86_64), "aarch64": (0xC000_00B7, _AARCH64)}

_MOUNTS = (
    *("mount", "umount2", "pivot_root", "chroot", "setns", "mount_setattr", "open_tree", "move_mount"),
    *("fsopen", "fsconfig", "fsmount", "fspick"),
)
_IPC = (
    *("shmget", "shmat", "shmctl", "shmdt", "semget", "semop", "semtimedop", "semctl"),
    *("msgget", "msgsnd", "msgrcv", "msgctl", "mq_open"),
)
_NEVER = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd"),
    *("add_key", "request_key", "keyctl", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("bpf", "perf_event_open", "userfaultfd", "fanotify_init", "open_by_handle_at", "syslog", "acct"),
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "iopl", "ioperm"),
    *("quotactl", "quotactl_fd", "swapon", "swapoff", "reboot", "settimeofday", "clock_settime"),
    *("sethostname", "setdomainname"),
)
_OWN_PROCESS_ONLY = ("sched_setscheduler", "sched_setparam", "sched_setattr")
"""Their first argument must be 0."""

_CLONE_NEWUSER = 0x1000_0000
_CLONE_NEW = 0x7E02_0080
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_AF_VSOCK = 40
_PRIO_USER, _IOPRIO_WHO_USER = 2, 3

_LOAD, _EQUAL, _GREATER_EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_RET_ALLOW, _RET_ERRNO = 0x7FFF_0000, 0x0005_0000
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_X32 = 0x4000_0000
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2

_ALLOW, _REFUSE, _UNKNOWN, _NEXT = "allow", "refuse", "unknown", "next"


class _Instruction(NamedTuple):
    code: int
    value: int
    then: str = _NEXT
    otherwise: str = _NEXT


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def is_known_here() -> bool:
    """Return whether a filter exists for this machine's processors."""
    return os.uname().machine in _MACHINES


def refuse_what_no_action_needs(*, has_view: bool) -> None:
    """Deny to this process, and to all that it starts, the system calls that no action needs.

    With a view, mounts and new namespaces remain allowed: each run creates its own. It then drops the capability that
    they need, and can't regain it without a user namespace, which is denied here. Without a view, System V IPC is
    denied too, since nothing else isolates it.
    """
    if is_known_here():
        names = _NEVER if has_view else (*_NEVER, *_MOUNTS, *_IPC)
        _enforce(_program(names, namespaces=_CLONE_NEWUSER if has_view else _CLONE_NEW))


def _enforce(program: _Program) -> None:
    check(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))


def _program(names: Iterable[str], *, namespaces: int) -> _Program:
    text = _assembled(_filter(names, namespaces))
    return _Program(len(text) // 8, text)


def _filter(refused: Iterable[str], namespaces: int) -> list[_Instruction]:
    architecture, own = _MACHINES[os.uname().machine]
    numbers = {**own, **_EVERYWHERE}
    program = [
        _Instruction(_LOAD, _ARCH),
        _Instruction(_EQUAL, architecture, otherwise=_UNKNOWN),
        _Instruction(_LOAD, _NUMBER),
        _Instruction(_GREATER_EQUAL, _X32, then=_UNKNOWN),
        _Instruction(_EQUAL, numbers["clone3"], then=_UNKNOWN),  # its flags are in memory: callers fall back to `clone`
    ]
    program += [_Instruction(_EQUAL, numbers[name], then=_REFUSE) for name in refused if name in numbers]
    for name in ("clone", "unshare"):
        program += _when(numbers[name], [*_argument(0), _Instruction(_ANY_BIT, namespaces, _REFUSE, _ALLOW)])
    return [*program, *_by_arguments(numbers), _Instruction(_RETURN, _RET_ALLOW)]


def _by_arguments(numbers: dict[str, int]) -> list[_Instruction]:
    program: list[_Instruction] = []
    for name in _OWN_PROCESS_ONLY:
        program += _when(numbers[name], [*_argument(0), _Instruction(_EQUAL, 0, _ALLOW, _REFUSE)])
    for name, of_user in (("setpriority", _PRIO_USER), ("ioprio_set", _IOPRIO_WHO_USER)):
        whose = [*_argument(0), _Instruction(_EQUAL, of_user, then=_REFUSE)]
        program += _when(numbers[name], [*whose, *_argument(1), _Instruction(_EQUAL, 0, _ALLOW, _REFUSE)])
    own = [*_argument(0), _Instruction(_EQUAL, 0, then=_ALLOW)]
    lower = [*_argument(2), _Instruction(_EQUAL, 0, otherwise=_REFUSE)]
    upper = [_Instruction(_LOAD, _ARGUMENTS + 2 * 8 + 4), _Instruction(_EQUAL, 0, _ALLOW, _REFUSE)]
    program += _when(numbers["prlimit64"], [*own, *lower, *upper])  # limits of others can be read
    terminal = [_Instruction(_EQUAL, _TIOCSTI, then=_REFUSE), _Instruction(_EQUAL, _TIOCLINUX, _REFUSE, _ALLOW)]
    program += _when(numbers["ioctl"], [*_argument(1), *terminal])
    return program + _when(numbers["socket"], [*_argument(0), _Instruction(_EQUAL, _AF_VSOCK, _REFUSE, _ALLOW)])


def _argument(index: int) -> list[_Instruction]:
    """Load the lower half of an argument."""
    return [_Instruction(_LOAD, _ARGUMENTS + index * 8)]


def _when(number: int, then: list[_Instruction]) -> list[_Instruction]:
    """Do this for one system call; it ends in a decision, so the number remains loaded for the next check."""
    return [_Instruction(_EQUAL, number, otherwise=f"+{len(then)}"), *then]


def _assembled(program: list[_Instruction]) -> bytes:
    """Replace the names of return values, which follow the program, and distances by jumps."""
    allow = len(program) - 1
    returns = {_ALLOW: allow, _REFUSE: allow + 1, _UNKNOWN: allow + 2}
    lines = [
        *program,
        _Instruction(_RETURN, _RET_ERRNO | errno.EPERM),
        _Instruction(_RETURN, _RET_ERRNO | errno.ENOSYS),
    ]

    def jump(target: str, index: int) -> int:
        if target == _NEXT:
            return 0
        return int(target[1:]) if target[0] == "+" else returns[target] - index - 1

    return b"".join(
        struct.pack("=HBBI", line.code, jump(line.then, index), jump(line.otherwise, index), line.value)
        for index, line in enumerate(lines)
    )
