"""The processes that an agent has for its runs. They are not its children; its data folder identifies them."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

_KEEPER = b"keeper/__main__.py"


def keepers(data: Path) -> list[int]:
    """List the keepers of the agents of a data folder, and processes that have just lost theirs."""
    pids = map(int, filter(str.isdigit, os.listdir("/proc")))  # noqa: PTH208
    family = [pid for pid in pids if _is_of(pid, data) and is_alive(pid)]
    return [pid for pid in family if parent(pid) not in family]


def family(data: Path) -> list[int]:
    """List all processes that agents of a data folder have for their runs, and what these have started."""
    return _families(keepers(data))


def zygotes(data: Path) -> list[int]:
    """List the zygotes."""
    return _zygotes(keepers(data), data)


def running(data: Path) -> list[int]:
    """List the processes of runs and their children, without processes that wait for a run."""
    found = keepers(data)
    idle = {*found, *_zygotes(found, data)}
    return [pid for pid in _families(found) if pid not in idle and not _waits(pid, data)]


def waiting(data: Path) -> list[int]:
    """List the processes that wait for a run."""
    return [pid for zygote in zygotes(data) for pid in children(zygote) if _waits(pid, data)]


def spec_of(pid: int) -> dict[str, Any]:
    """Return the arguments of a keeper, or of its zygote, which has the same command line; {} if it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if _KEEPER in command:
            spec: dict[str, Any] = json.loads(command.rstrip(b"\0").rpartition(b"\0")[2])
            return spec
    return {}


def children(pid: int) -> list[int]:
    """List the children of all threads of a process; the kernel may skip some while others end."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (task / "children").read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """List the processes below a process."""
    return [each for child in children(pid) for each in (child, *descendants(child))]


def parent(pid: int) -> int:
    """Return the process id of a process's parent; 0 if it has no parent or does not exist."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def pid_of(own_id: str) -> int:
    """Return the process ID, as seen here, of the process with `PID@INODE_OF_NAMESPACE`; 0 if it has ended."""
    pid, _, namespace = own_id.partition("@")
    for each in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        with suppress(OSError):
            if os.stat(f"/proc/{each}/ns/pid").st_ino == int(namespace):  # noqa: PTH116
                status = Path(f"/proc/{each}/status").read_text()
                (line,) = [line for line in status.splitlines() if line.startswith("NSpid:")]
                if line.split()[-1] == pid:
                    return int(each)
    return 0


def _families(keepers: list[int]) -> list[int]:
    return [each for keeper in keepers for each in (keeper, *descendants(keeper))]


def _zygotes(keepers: list[int], data: Path) -> list[int]:
    return [child for keeper in keepers for child in children(keeper) if _is_of(child, data)]


def _is_of(pid: int, data: Path) -> bool:
    # Most processes belong to others, and a `Path` of each takes longer than reading the file.
    with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:  # noqa: PTH123
        command = file.read()
        return _KEEPER in command and os.fsencode(f"{data}/") in command
    return False


def _waits(pid: int, data: Path) -> bool:
    """Return whether a process waits for a run: its output is /dev/null until it gets a run's log."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return _is_of(pid, data) and Path(f"/proc/{pid}/fd/1").readlink() == Path("/dev/null")
    return True
