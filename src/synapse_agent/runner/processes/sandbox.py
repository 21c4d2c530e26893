"""What the kernel can keep actions from, found out by trying."""

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
"""The program that a keeper is started by."""
_PROBE_SECONDS = 20.0

_SINCE = (
    (1, "write"),
    (1, "ptrace"),
    (3, "truncate"),
    (5, "device_ioctl"),
    (6, "signal"),
    (6, "abstract_socket"),
)
"""What is kept from actions, by the ABI of Landlock that brought it."""

_BY_NAMESPACES = ("attributes", "temporary_files", "ipc")
"""What is kept from actions if each has namespaces of its own."""
LEVELS = ("none", "landlock", "namespaces")
"""How runs are kept apart; each includes those before it."""


@dataclass(frozen=True, slots=True)
class SandboxPolicy:
    """What runs are held to."""

    status: Literal["active", "off", "unavailable"]
    landlock_abi: int = 0
    """The kernel's; 0 if it has none that can be used."""
    allow_write: tuple[Path, ...] = ()
    """What every run may write to."""
    namespaces: bool = False
    """Whether runs see the machine's files read-only and have temporary files of their own."""
    bounds: tuple[str, ...] = ()
    """What is bounded without being asked for: `memory`, `processes`."""

    @property
    def level(self) -> str:
        """How runs are kept apart, one of `LEVELS`."""
        if self.status != "active":
            return "none"
        return "namespaces" if self.namespaces else "landlock"

    @property
    def restricts(self) -> list[str]:
        """What is kept from actions: `write` and `ptrace`, with newer kernels and with namespaces more."""
        if self.status != "active":
            return list(self.bounds)
        by_landlock = [what for since, what in _SINCE if since <= self.landlock_abi]
        return [*by_landlock, *(what for what in _BY_NAMESPACES if self.namespaces), *self.bounds]

    def around(self, folders: Iterable[Path]) -> tuple[Path, ...] | None:
        """List what may be written to by runs that share these folders; None for no sandbox."""
        return (*folders, *self.allow_write) if self.status == "active" else None

    def shared_temporary(self, data_dir: Path) -> tuple[Path, ...]:
        """List the machine's folders for temporary files that runs write to for lack of their own.

        One that the agent's data is in is not among them.
        """
        return () if self.namespaces else tuple(Path(f) for f in TEMPORARY if not is_within(str(data_dir.resolve()), f))

    def covering(self, folder: Path) -> tuple[Path, ...] | None:
        """List what is hidden from runs, which see a part of it; None if nothing can be hidden."""
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


@cache
def namespaces_missing() -> str:
    """Return why no namespaces can be made here, found by making some in another process; nothing if they can."""
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
    """Return the kernel's ABI if a sandbox of it holds; in a container the ABI can be read and yet not be used."""
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
