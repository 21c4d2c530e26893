"""The messages between an agent and a keeper, on a SEQPACKET socket; both sides read them from here."""

from __future__ import annotations

import struct

COMMAND = struct.Struct("!cQdd?")
"""Agent to keeper: kind, run number, time limit in seconds (0 for none), grace in seconds, whether files are shown."""
RUN = b"R"
"""Start a run. Three descriptors are attached: its report socket, its log pipe, and a file with its request."""
STOP = b"S"
"""End a run: SIGTERM to its process group and, after the grace period, SIGKILL. A waiting one never starts."""
KILL = b"K"
"""End a run at once."""

NOTICE = struct.Struct("!cQq")
"""Keeper to agent: kind, run number, value."""
HERE = b"h"
"""The first notice: the keeper has started; a descriptor of its process is attached."""
READY = b"r"
"""The zygote has started, and processes can be forked.

The number is its memory in bytes (its proportional share of shared pages), the value the microseconds of its imports.
"""
STARTED = b"s"
"""A process has taken the run; followed by the path of the folder whose files outlive it."""
TIMED_OUT = b"t"
"""The run has reached its time limit, and the keeper is ending it."""
ENDED = b"e"
"""The run and all it started are gone; the value is its wait status, or minus an errno if it could not be forked."""
ENDED_WITH_ZYGOTE = b"z"
"""The run was ended because its zygote ended."""
NOT_STARTED = b"n"
"""The zygote ended before it could fork the run's process; its last output follows."""
LEFT = b"l"
"""Files were left in the folders of a run that has ended; the number is that of the folders."""

MAX_WORDS = 4000
"""Size limit of a zygote's last output in bytes."""
