"""The messages between keeper, zygote and run, and those of a run to the agent; all sides read them from here.

Keeper and zygote share one SEQPACKET socket, and keeper and waiting process one STREAM socket each. A run has two
descriptors of the agent's besides: a DGRAM socket, on which it sends its reports, and the pipe that is its stdout and
stderr.

A report starts with the run's secret, 16 random bytes that its request brought: what a plugin writes to a descriptor
that is not its own lacks them, arrives as a message of its own, and is ignored. The secret keeps accidents out, not a
plugin that means to forge a report: the agent trusts none of them (see `processes.outcomes`).
"""

from __future__ import annotations

import struct

FORK = struct.Struct("!Q?")
"""Keeper to zygote: fork a process that waits for a run. The number of its folders, and whether no run waits for it;
with a view, the trees of its folders come along."""

NOTICE = struct.Struct("!cQi")
"""Zygote to keeper: kind, number, value."""
READY = b"r"
"""The environment is entered, and processes can be forked."""
WAITING = b"w"
"""The process of that number waits for a run; the value is its process id, and its socket comes along."""
NOT_FORKED = b"n"
"""It could not be forked; the value is an errno."""
REAPED = b"e"
"""It has ended; the value is its wait status."""

TAKE = b"R"
"""Keeper to waiting process: be the run whose descriptors come along: report socket, log pipe, a file with its request,
a tree of files for each byte that follows, which is the index of its path in the request, and one for each input."""
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
"""Payload: a part of a value that the action has yielded, which one message cannot hold."""
VALUE = b"V"
"""Payload: the last part of such a value, as JSON without line ends."""
UNCOMPILED = b"U"
"""Payload: the file of a module that the run had to compile, as there is no compiled code of it."""
IMPORTS = b"I"
"""Payload: `IMPORT_TIMES`, then a line for each module that was imported from outside the plugin: name and seconds."""
IMPORT_TIMES = struct.Struct("!dd")
"""Seconds that importing took: in all, and of it from outside the plugin."""
PART = b"P"
"""Payload: a part of the outcome, which one message cannot hold."""
RESULT = b"R"
"""Payload: the last part of the action's result as JSON."""
FAILURE = b"F"
"""Payload: the last part of a failure as JSON: `error_type`, `message`, and what belongs to that type."""
BEGUN = b"B"
"""The process is prepared, and the plugin's code comes next: a failure before this one means that nothing has run."""
QUEUED = b"Q"
"""Before the outcome: the action has left threads or exit handlers, and `DONE` follows once they have ended."""
DONE = b"D"
"""What the action had left has ended."""

MAX_PAYLOAD = 60_000
"""Bytes of payload in one message; a socket's default buffer holds three."""
MAX_VALUE = 4 * 2**20
"""Bytes of a value that an action yields: the agent checks it at once, and nothing else meanwhile."""
