"""The limits of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Limits of a run; None is unlimited. Those on memory, file size and processes apply to each of its processes."""

    time: float | None = None
    """Seconds from the start of the action."""
    cpu_time: int | None = None
    """Seconds of CPU time."""
    memory: int | None = None
    """Bytes of address space."""
    file_size: int | None = None
    """Bytes per written file."""
    processes: int | None = None
    """Processes and threads of the agent's user, in the runs' user namespace or on the machine; root is exempt."""
    open_files: int | None = None
    """Descriptors of each process, as its soft limit: it may raise that itself."""
    log_bytes: int = 64 * MIB
    """Bytes kept of its output; later output is dropped."""
    result_bytes: int = 128 * MIB
    """Bytes of JSON; a larger result is a failure."""
    grace: float = 1.0
    """Seconds between asking a run to end (SIGTERM) and killing it."""

    def bounded(self, run: float | None, action: float | None) -> RunLimits:
        """Return the limits of one run: its own time limit replaces this one, and the action's applies as well."""
        if action is None and not run:
            return self
        time = min((each for each in (run or self.time, action) if each is not None), default=None)
        return self if time == self.time else replace(self, time=time)

    @property
    def resources(self) -> dict[str, int]:
        """The limits that the kernel enforces, by the names of their constants in the module `resource`."""
        wanted = {
            "RLIMIT_CPU": self.cpu_time,
            "RLIMIT_AS": self.memory,
            "RLIMIT_FSIZE": self.file_size,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_NOFILE": self.open_files,
        }
        return {name: value for name, value in wanted.items() if value is not None}
