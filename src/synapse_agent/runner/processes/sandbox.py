"""What the kernel can forbid to actions, found by trying."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from synapse_agent.runner.processes.run_cgroups import bounded
from synapse_agent.runner.synapse_worker import landlock
from synapse_agent.runner.synapse_worker.namespaces import PID_MAX, counts_processes
from synapse_agent.runner.synapse_worker.view import TEMPORARY, is_within

KEEPER = Path(__file__).parents[1] / "keeper" / "__main__.py"
"""The program of a keeper."""
_PROBE_SECONDS = 20.0
_TRYING = threading.Lock()

_SINCE = (
    (1, "write"),
    (1, "ptrace"),
    (3, "truncate"),
    (5, "device_ioctl"),
    (6, "signal"),
    (6, "abstract_socket"),
)
"""What actions are denied, each with the first ABI of Landlock that can deny it."""

_BY_NAMESPACES = ("attributes", "temporary_files", "ipc")
"""What actions are denied if each has its own namespaces."""
LEVELS = ("none", "landlock", "namespaces")
"""The levels of isolation; each includes those before it."""


@dataclass(frozen=True, slots=True)
class SandboxPolicy:
    """The restrictions of runs."""

    status: Literal["active", "off", "unavailable"]
    landlock_abi: int = 0
    """The kernel's ABI; 0 if Landlock can't be used."""
    allow_write: tuple[Path, ...] = ()
    """Paths that every run may write to."""
    namespaces: bool = False
    """Whether runs see the machine's files read-only and have temporary files of their own."""
    bounds: tuple[str, ...] = ()
    """What is limited by default: `memory`, `processes`."""

    @property
    def level(self) -> str:
        """The level of isolation, one of `LEVELS`."""
        if self.status != "active":
            return "none"
        return "namespaces" if self.namespaces else "landlock"

    @property
    def restricts(self) -> list[str]:
        """What actions are denied: `write` and `ptrace`, more with newer kernels and with namespaces."""
        if self.status != "active":
            return list(self.bounds)
        by_landlock = [what for since, what in _SINCE if since <= self.landlock_abi]
        return [*by_landlock, *(what for what in _BY_NAMESPACES if self.namespaces), *self.bounds]

    def around(self, folders: Iterable[Path]) -> tuple[Path, ...] | None:
        """Return the paths that runs with these folders may write to; None without a sandbox."""
        return (*folders, *self.allow_write) if self.status == "active" else None

    def shared_temporary(self, data_dir: Path) -> tuple[Path, ...]:
        """Return the machine's temporary folders, which runs without their own write to.

        One that contains the agent's data is not among them.
        """
        return () if self.namespaces else tuple(Path(f) for f in TEMPORARY if not is_within(str(data_dir.resolve()), f))

    def covering(self, folder: Path) -> tuple[Path, ...] | None:
        """Return the folders that are hidden from runs, except for what they need; None if nothing can be hidden."""
        return (folder,) if self.namespaces else None


OFF = SandboxPolicy("off")


def probed(*, wanted: bool, allow_write: Iterable[Path] = ()) -> SandboxPolicy:
    """Return the sandbox that this kernel offers to a process such as this one."""
    abi = _usable_abi()
    if not wanted:
        return SandboxPolicy("off", abi, bounds=_bounds(namespaces=False))
    namespaces = bool(abi) and not namespaces_missing()
    status: Literal["active", "unavailable"] = "active" if abi else "unavailable"
    return SandboxPolicy(status, abi, tuple(allow_write), namespaces, _bounds(namespaces=namespaces))


def _bounds(*, namespaces: bool) -> tuple[str, ...]:
    counted = namespaces and (os.geteuid() != 0 or (counts_processes() and os.access(PID_MAX, os.W_OK)))
    return tuple(dict.fromkeys([*bounded(), *(["processes"] if counted else [])]))


def namespaces_missing() -> str:
    """Return why namespaces can't be created here, found by creating some in another process; empty if they can.

    A call during another one, such as that of a thread that was started early, waits for its result.
    """
    with _TRYING:
        return _tried()


@cache
def _tried() -> str:
    python = getattr(sys, "_base_executable", None) or sys.executable
    command = [python, "-I", "-S", str(KEEPER), "probe"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_PROBE_SECONDS, cwd="/", env={})
    except subprocess.CalledProcessError as error:
        return error.stderr.decode(errors="replace").strip().rpartition("\n")[2] or str(error)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ""


@cache
def _usable_abi() -> int:
    """Return the kernel's ABI; 0 if its sandbox does not work, as in some containers that report an ABI."""
    abi = landlock.abi()
    held: list[bool] = []
    if abi:
        trial = threading.Thread(target=lambda: held.append(_holds(abi)))  # it restricts the thread that enters it
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
