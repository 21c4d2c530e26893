"""What one run may use."""

from __future__ import annotations

from dataclasses import dataclass, replace

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Bounds on a run; None is no bound. Those on memory, file size and processes hold for each process of it."""

    time: float | None = None
    """Seconds from the start of the action."""
    cpu_time: int | None = None
    """Seconds of CPU time."""
    memory: int | None = None
    """Bytes of address space."""
    file_size: int | None = None
    """Bytes of one file that is written."""
    processes: int | None = None
    """Processes and threads of the agent's user, in the runs' user namespace or on the machine; root is exempt."""
    log_bytes: int = 64 * MIB
    """What is kept of its output; what comes after is dropped."""
    result_bytes: int = 128 * MIB
    """A larger result, as JSON, is a failure."""
    grace: float = 1.0
    """Seconds between asking a run to end (SIGTERM) and ending it."""

    def bounded(self, run: float | None, action: float | None) -> RunLimits:
        """Return the limits of one run: the run's own time limit holds instead of this one, the action's as well."""
        time = min((each for each in (run or self.time, action) if each is not None), default=None)
        return self if time == self.time else replace(self, time=time)

    @property
    def resources(self) -> dict[str, int]:
        """The limits that the kernel enforces, by the name of their constant in the module `resource`."""
        wanted = {
            "RLIMIT_CPU": self.cpu_time,
            "RLIMIT_AS": self.memory,
            "RLIMIT_FSIZE": self.file_size,
            "RLIMIT_NPROC": self.processes,
        }
        return {name: value for name, value in wanted.items() if value is not None}
