"""Whether the kernel keeps actions from writing where they should not, found out by trying."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from synapse_agent.runner.synapse_worker import landlock

_SINCE = (
    (1, "write"),
    (1, "ptrace"),
    (3, "truncate"),
    (5, "device_ioctl"),
    (6, "signal"),
    (6, "abstract_socket"),
)
"""What is kept from actions, by the ABI of Landlock that brought it."""


@dataclass(frozen=True, slots=True)
class SandboxPolicy:
    """What runs are held to."""

    status: Literal["active", "off", "unavailable"]
    landlock_abi: int = 0
    """The kernel's; 0 where it has none that can be used."""
    allow_write: tuple[Path, ...] = ()
    """What every run may write to."""

    @property
    def restricts(self) -> list[str]:
        """What is kept from actions: `write` and `ptrace`, with newer kernels more."""
        return [what for since, what in _SINCE if self.status == "active" and since <= self.landlock_abi]

    def around(self, folders: Iterable[Path]) -> tuple[Path, ...] | None:
        """List what may be written to by runs that share these folders; None for no sandbox."""
        return (*folders, *self.allow_write) if self.status == "active" else None


OFF = SandboxPolicy("off")


def probed(*, wanted: bool, allow_write: Iterable[Path] = ()) -> SandboxPolicy:
    """Give the sandbox that this kernel offers to a process such as this one."""
    if not wanted:
        return SandboxPolicy("off", _usable_abi())
    abi = _usable_abi()
    return SandboxPolicy("active" if abi else "unavailable", abi, tuple(allow_write))


@cache
def _usable_abi() -> int:
    """Give the kernel's ABI if a sandbox of it holds; a container's rules may let one ask for it and no more."""
    abi = landlock.abi()
    held: list[bool] = []
    if abi:
        trial = threading.Thread(target=lambda: held.append(_holds(abi)))  # it binds the thread that enters it
        trial.start()
        trial.join()
    return abi if any(held) else 0


def _holds(abi: int) -> bool:
    try:
        landlock.give_up_new_privileges()
        landlock.Ruleset(abi).enforce()
    except OSError:
        return False
    try:
        os.close(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))
    except PermissionError:
        return True
    return False
