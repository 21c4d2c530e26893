"""The messages between agent, zygote and run; both sides read them from here.

Agent and zygote share one SEQPACKET socket, the control socket. Each run has two descriptors of its own besides: a
DGRAM socket, on which it sends its reports, and the pipe that is its stdout and stderr.

A report starts with the run's secret, 16 random bytes that its request brought: what a plugin writes to a descriptor
that is not its own lacks them, arrives as a message of its own, and is ignored. The secret keeps accidents out, not a
plugin that means to forge a report: the agent trusts none of them (see `processes.outcomes`).
"""

from __future__ import annotations

import struct

COMMAND = struct.Struct("!cQi")
"""Agent to zygote: kind, run number, signal."""
RUN = b"R"
"""Start a run. Three descriptors come along: its report socket, its log pipe, and a file with its request."""
SIGNAL = b"S"
"""Send a signal to the run's process group."""

NOTICE = struct.Struct("!cQi")
"""Zygote to agent: kind, run number, value."""
STARTED = b"s"
"""The run's process is there; the value is its process id. Told again where that one was gone and another took over."""
ENDED = b"e"
"""The run and all it started are gone; the value is its wait status."""

SECRET_BYTES = 16
REPORT = struct.Struct(f"!{SECRET_BYTES}sc")
"""Run to agent: secret, kind; the payload follows."""
EVENT = b"E"
"""Payload: one event as JSON."""
UNCOMPILED = b"U"
"""Payload: the file of a module that the run had to compile, as there is no compiled code of it."""
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
