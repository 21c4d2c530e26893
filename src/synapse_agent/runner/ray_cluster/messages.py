"""What the agent, the driver's process and the nodes tell each other."""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synapse_agent.problems import Problem
from synapse_agent.runner.base import Run
from synapse_agent.runner.resources.reports import NodeReport
from synapse_agent.settings import Settings

_LENGTH = struct.Struct("<Q")


# The agent to the driver.


@dataclass(frozen=True, slots=True)
class Begin:
    """Join the cluster."""

    settings: Settings
    identity: str
    """Names the agent for as long as its data folder exists."""


@dataclass(frozen=True, slots=True)
class Start:
    """Run this."""

    number: int
    run: Run


@dataclass(frozen=True, slots=True)
class Stop:
    """End that run."""

    number: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Release what was kept of a folder that is gone; a `Reply` of that number follows."""

    number: int
    folder: Path


@dataclass(frozen=True, slots=True)
class LookAtNodes:
    """Report what all nodes have, and what of it is in use."""

    number: int


@dataclass(frozen=True, slots=True)
class ListServed:
    """Describe the served actions that workers hold; a `Reply` of that number has them."""

    number: int


@dataclass(frozen=True, slots=True)
class EndServed:
    """End the workers of one; the `Reply` is whether there were any."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class Close:
    """End everything, and yourself."""


# The driver to the agent.


@dataclass(frozen=True, slots=True)
class Ready:
    """The cluster takes runs."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The cluster can't be used; nothing comes after this."""

    why: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that whoever runs the agent should know."""

    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """What has become known of a run."""

    number: int
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class NodesSeen:
    """All nodes, or why the cluster could not be asked."""

    number: int
    reports: tuple[NodeReport, ...] = ()
    silence: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a question of that number."""

    number: int
    value: Any


# Of a run. The last of its items is `Succeeded` or `Failed`.


@dataclass(frozen=True, slots=True)
class Placed:
    """The run is being handed to a node; from here on it may have run."""

    node: str


@dataclass(frozen=True, slots=True)
class Started:
    """The action's process has been started."""


@dataclass(frozen=True, slots=True)
class LogOutput:
    """What the run printed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class RunEvent:
    """What the run reported."""

    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the result."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Left:
    """The run has left these files; the driver fetches them from the node, and sends their parts instead."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutputPart:
    """The next piece of a file that the run has left."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The result's parts have all been said."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The problem that the run ended with."""

    status: int
    error_type: str
    message: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, problem: Problem) -> Failed:
        """Say a problem, which as an exception can't be sent."""
        return cls(problem.status, problem.error_type, problem.message, problem.extra)

    @property
    def problem(self) -> Problem:
        """The problem again."""
        return Problem(self.status, self.error_type, self.message, **self.extra)


@dataclass(frozen=True, slots=True)
class SourceMissing:
    """The node does not have the source, so nothing has run; said to the driver alone."""


Item = Placed | Started | LogOutput | RunEvent | Part | Left | OutputPart | Succeeded | Failed | SourceMissing


def packed(message: object) -> bytes:
    """Give a message as a frame. Both ends are processes of this agent, so that pickle is safe."""
    payload = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(payload)) + payload


async def receive(reader: asyncio.StreamReader) -> Any:
    """Read a message; None where the other end is gone."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return pickle.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def receive_now(connection: socket.socket) -> Any:
    """Read a message from a blocking socket; None where the other end is gone."""
    with connection.makefile("rb", buffering=0) as stream:
        head = stream.read(_LENGTH.size)
        if not head or len(head) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(head)
        payload = bytearray()
        while len(payload) < length:
            piece = stream.read(length - len(payload))
            if not piece:
                return None
            payload += piece
        return pickle.loads(payload)
