"""The messages between an agent and a keeper, on a SEQPACKET socket; both sides read them from here."""

from __future__ import annotations

import struct

COMMAND = struct.Struct("!cQdd?")
"""Agent to keeper: kind, run number, time limit in seconds (0 for none), grace in seconds, whether files are shown."""
RUN = b"R"
"""Start a run. The message carries three descriptors: its report socket, its log pipe, and a file with its request.

If runs outlive the agent, there are more: the reading ends of log and reports, an eventfd that wakes the agent, and
locks, which the keeper holds until the run is over. It writes its notices about such a run into the run's folder."""
STOP = b"S"
"""End a run: SIGTERM to its process group and, after the grace period, SIGKILL. A waiting one never starts."""
KILL = b"K"
"""End a run at once."""
END = b"E"
"""End all runs and the keeper. Without runs that outlive the agent, the end of the socket does the same."""
ADOPT = b"A"
"""The first command of an agent that connects to a keeper that another one has left: the number is its `VERSION`. The
message carries the open lock of the data folder, which the agent holds."""
FOLLOW = b"F"
"""Wake this agent whenever a run has something new; the message carries an eventfd."""

VERSION = 1
"""The version of these messages, and of the files in a run's folder. A keeper uses one, an agent all of `SPOKEN`."""
SPOKEN = (1,)

LINGER_SECONDS = 10.0
"""How long a run may continue after its outcome and its queued work are complete."""

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
"""The run and all its processes have ended; the value is its wait status, or minus an errno if it was not forked."""
ENDED_WITH_ZYGOTE = b"z"
"""The run was ended because its zygote ended."""
NOT_STARTED = b"n"
"""The zygote ended before it could fork the run's process; its last output follows."""
LEFT = b"l"
"""Files were left in the folders of a run that has ended: those named by this number, alone or before a dot."""

OF_RUNS = (STARTED, TIMED_OUT, ENDED, ENDED_WITH_ZYGOTE, NOT_STARTED)
"""Notices that are about a run."""

RECORD = struct.Struct("!cdQI")
"""In the file of a run's reports: kind, seconds since 1970, bytes of its log by then, size of the payload."""
PRINTED = b"p"
"""The run has printed something; at most one a second."""
REPORT = b"m"
"""A report of the run: its kind, then its payload. Other records are `STARTED` and `TIMED_OUT`, like the notices."""

ORPHAN_LIMIT, DATA_FOLDER_GONE, NODE_GONE = "orphan_limit", "data_folder_gone", "node_gone"
"""The reason for which a keeper ended a run on its own."""

MAX_WORDS = 4000
"""Size limit of a zygote's last output in bytes."""
