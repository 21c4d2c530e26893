"""The messages between keeper, zygote and run, and those of a run to the agent, defined for all sides.

Keeper and zygote share one SEQPACKET socket, and keeper and waiting process one STREAM socket each. A run has two
more descriptors, which the agent has made: a DGRAM socket, on which it sends its reports, and the pipe that is its
stdout and stderr.

A report starts with the run's secret, 16 random bytes from its request: data that a plugin writes to another
descriptor by accident lacks them, arrives as a separate message, and is ignored. The secret does not stop a
plugin that forges reports: the agent trusts none of them (see `processes.outcomes`).
"""

from __future__ import annotations

import struct

FORK = struct.Struct("!Q?")
"""Keeper to zygote: fork a process that waits for a run. The number of its folders, and whether no run waits for it;
with a view, the trees of its folders are attached."""

NOTICE = struct.Struct("!cQi")
"""Zygote to keeper: kind, number, value."""
READY = b"r"
"""The environment is entered, and processes can be forked."""
WAITING = b"w"
"""The process with that number waits for a run; the value is its process ID, and its socket is attached."""
NOT_FORKED = b"n"
"""It could not be forked; the value is an errno."""
REAPED = b"e"
"""It has ended; the value is its wait status."""

TAKE = b"R"
"""Keeper to waiting process: become the run with the attached descriptors: report socket, log pipe, request file,
a tree of files for each byte that follows (the index of its path in the request), and one for each input."""
MAX_SHOWN = 100
MAX_INPUTS = 140
MAX_DESCRIPTORS = 3 + MAX_SHOWN + MAX_INPUTS
"""The kernel passes 253 at most."""

SECRET_BYTES = 16
REPORT = struct.Struct(f"!{SECRET_BYTES}sc")
"""Run to agent: secret, kind; the payload follows."""
EVENT = b"E"
"""Payload: one event as JSON."""
VALUE_PART = b"v"
"""Payload: a part of a yielded value, which one message cannot hold."""
VALUE = b"V"
"""Payload: the last part of such a value, as JSON without line ends."""
UNCOMPILED = b"U"
"""Payload: the file of a module that the run had to compile, since it has no bytecode."""
IMPORTS = b"I"
"""Payload: `IMPORT_TIMES`, then a line for each module imported from outside the plugin: name and seconds."""
IMPORT_TIMES = struct.Struct("!dd")
"""Seconds of all imports, and of those from outside the plugin."""
PART = b"P"
"""Payload: a part of the outcome, which one message cannot hold."""
RESULT = b"R"
"""Payload: the last part of the action's result as JSON."""
FAILURE = b"F"
"""Payload: the last part of a failure as JSON: `error_type`, `message`, and the fields of that type."""
BEGUN = b"B"
"""The process is prepared, and the plugin's code runs next: a failure before this one means that nothing has run."""
QUEUED = b"Q"
"""Before the outcome: the action has left threads or exit handlers, and `DONE` follows once they have ended."""
DONE = b"D"
"""The remaining threads and exit handlers have ended."""

SERVING = b"A"
"""A served worker has constructed its object, and accepts calls."""

CALL = b"C"
"""Agent to served worker, on the worker's report socket: a call. The first line of its request and the params follow,
or are in a file that is the last descriptor. The first call of a channel has the channel's report socket and log pipe
attached, which later calls use again; each has the files that its params refer to."""
MAX_FILES = 140
"""Most files that a call's params can refer to; a message can have 253 descriptors."""
LEAVE = b"L"
"""Agent to served worker: end like an interpreter."""
OUTPUTS = b"O"
"""Served worker to agent, on a call's report socket: the call has left files in its output folder."""
LEFT = b"X"
"""Served worker to agent, on a call's report socket: the worker has child processes after the call. They may keep the
call's log pipe, so that its channel is not used again."""
STOP = b"S"
"""Agent to served worker, on a call's report socket: end the call. Its channel is not used again."""

MAX_PAYLOAD = 60_000
"""Bytes of payload in one message; a socket's default buffer holds three."""
MAX_VALUE = 4 * 2**20
"""Bytes of a yielded value: while the agent checks it, it does nothing else."""
