"""A run that outlives the agent: its folder, and the facts with which an agent takes it over."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from synapse_agent.runner.keeper import protocol
from synapse_agent.storage.atomic_write import write_atomically
from synapse_agent.storage.locks import folder_locked

logger = logging.getLogger(__name__)

R = TypeVar("R", bound="LeftRun")

JOB, BEFORE, LOG, REPORTS, OUTPUTS, END = "job.json", "before", "log", "reports", "outputs", "end"
_KEEPER = "keeper.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftRun:
    """The facts with which the next agent takes over a run."""

    job_id: str
    row: int
    """Its number among the accepted jobs."""
    release: str | None
    action: str
    folder: str
    """The plugin's code."""
    wanted: dict[str, Any]
    """The resources that it holds, by the names of `Resources`."""
    lane: str
    gpus: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    """IDs and names of the files that its params refer to."""
    printed_before: int = 0
    """Bytes of its log that only the agent has."""
    reservation: str | None = None
    """The name of what a cluster has reserved for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRun(LeftRun):
    """The facts that are written before a keeper gets the run; the keeper reads limits and secret."""

    seen_at: str
    """The path at which the run sees the plugin's code."""
    time_limit: float | None
    grace: float
    log_bytes: int
    result_bytes: int
    secret: str
    oom_kills: int
    """The machine's count of processes killed for lack of memory, when it was begun."""
    begun: float
    """When it was begun, on the clock of `time.monotonic`."""
    made_in: float
    """Seconds that its environment took."""
    preload: tuple[str, ...] | bool | None
    machine: str
    """The boot and the container that it runs in."""

    def write(self, folder: Path, before: bytes) -> None:
        """Make the run's folder; `before` is what it printed before its process was started."""
        folder.mkdir(mode=0o700)
        if before:
            (folder / BEFORE).write_bytes(before)
        write_atomically(folder / JOB, json.dumps(asdict(self)).encode(), mode=0o600)

    @classmethod
    def read(cls, folder: Path) -> KeptRun | None:
        """Read a run's folder; return None if it is incomplete, because no keeper got the run."""
        return read_run(folder / JOB, cls)


def read_end(folder: Path) -> dict[str, Any] | None:
    """Return how a run ended; None if it has not, or was lost."""
    with suppress(OSError):
        return parsed_end((folder / END).read_bytes())
    return None


def parsed_end(text: bytes) -> dict[str, Any] | None:
    """Parse the file that states how a run ended; None if it has not."""
    with suppress(ValueError):
        end = json.loads(text.partition(b"\n")[0])
        return end if isinstance(end, dict) else None
    return None


def read_run(path: Path, kind: type[R]) -> R | None:
    """Read the description of a run; None if it does not exist, or is not of this form."""
    try:
        values = json.loads(path.read_bytes())
        known = {each.name: _tuples(values[each.name]) for each in fields(kind) if each.name in values}
        return kind(**known)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        logger.warning("The run in %s can't be taken over: %r", path, error)
        return None


def _tuples(value: Any) -> Any:
    """Return a value with tuples, which JSON does not have."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class KeeperRecord:
    """The facts about a keeper in its folder."""

    version: int
    pid: int | None
    """In the agent's PID namespace; None until the keeper has sent its first notice."""
    start_time: int | None
    """When that process was started, in clock ticks since the boot, from `/proc/PID/stat`."""

    def write(self, folder: Path) -> None:
        """Write it into a keeper's folder."""
        write_atomically(folder / _KEEPER, json.dumps(asdict(self)).encode(), mode=0o600)

    @classmethod
    def read(cls, folder: Path) -> KeeperRecord | None:
        """Read a keeper's folder; return None if it has no readable facts."""
        with suppress(OSError, ValueError, TypeError):
            return cls(**json.loads((folder / _KEEPER).read_bytes()))
        return None

    @classmethod
    def of(cls, pidfd: int | None) -> KeeperRecord:
        """Describe a keeper that has this agent's version."""
        pid = None if pidfd is None else _pid(pidfd)
        return cls(protocol.VERSION, pid, None if pid is None else _start_time(pid))

    def open_process(self) -> int | None:
        """Return a pidfd of the keeper; None if it has ended or is not known."""
        if self.pid is None:
            return None
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            return None
        if _start_time(self.pid) == self.start_time:
            return pidfd
        os.close(pidfd)
        return None


def is_alive(folder: Path) -> bool:
    """Return whether a keeper holds the lock of its folder."""
    try:
        with folder_locked(folder):
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def keeper_folders(parent: Path) -> list[Path]:
    """List the folders of keepers whose runs outlive their agent."""
    with suppress(OSError):
        return sorted(path for path in parent.iterdir() if path.is_dir())
    return []


def run_folders(keeper: Path) -> list[Path]:
    """List the folders of a keeper's runs."""
    with suppress(OSError):
        return sorted((path for path in keeper.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    return []


@cache
def this_machine() -> str:
    """Identify the boot of this machine, and the container or PID namespace in it."""
    parts = [_text(Path("/proc/sys/kernel/random/boot_id"))]
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    parts.append(str(_start_time(1)))
    return " ".join(parts)


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="ascii").strip()
    return ""


def _pid(pidfd: int) -> int | None:
    for line in _text(Path(f"/proc/self/fdinfo/{pidfd}")).splitlines():
        if line.startswith("Pid:"):
            pid = int(line.split()[1])
            return pid if pid > 0 else None
    return None


def _start_time(pid: int) -> int | None:
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    return None
