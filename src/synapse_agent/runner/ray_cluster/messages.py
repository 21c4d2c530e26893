"""The messages between the agent, the driver's process and the nodes."""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synapse_agent.problems import Problem
from synapse_agent.runner.base import Run
from synapse_agent.runner.ray_cluster.placed_jobs import PlacedJob
from synapse_agent.runner.resources.reports import NodeReport
from synapse_agent.settings import Settings

_LENGTH = struct.Struct("<Q")


# The agent to the driver.


@dataclass(frozen=True, slots=True)
class Begin:
    """Join the cluster."""

    settings: Settings
    identity: str
    """The agent's name, which lasts as long as its data folder."""


@dataclass(frozen=True, slots=True)
class Start:
    """Run an action."""

    number: int
    run: Run
    prepares: str | None = None
    """The ID of a node: only make the run's environment there."""
    printed: int = 0
    """Bytes of the run's log that were printed before."""


@dataclass(frozen=True, slots=True)
class Offset:
    """How much of a run's messages was received."""

    printed: int = 0
    """Bytes of its log."""
    items: int = 0
    """Number of other messages."""

    def after(self, items: Iterable[Item]) -> Offset:
        """Return the offset after these items."""
        printed, count = self.printed, self.items
        for item in items:
            if isinstance(item, LogOutput):
                printed += len(item.data)
            elif not isinstance(item, Placed | OutputPart):  # the driver's own
                count += 1
        return Offset(printed, count)


START = Offset()


@dataclass(frozen=True, slots=True)
class TakeUp:
    """Take over a job that an earlier driver has placed, from an offset on."""

    number: int
    job: PlacedJob
    offset: Offset


@dataclass(frozen=True, slots=True)
class Collect:
    """Remove a node's files of a job whose end is recorded."""

    job: PlacedJob


@dataclass(frozen=True, slots=True)
class Stop:
    """End a run."""

    number: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Release what was kept for a removed folder; a `Reply` with the same number follows."""

    number: int
    folder: Path


@dataclass(frozen=True, slots=True)
class LookAtNodes:
    """Report the resources of all nodes and their use."""

    number: int


@dataclass(frozen=True, slots=True)
class ListServed:
    """Return the served actions that workers hold, in a `Reply` with the same number."""

    number: int


@dataclass(frozen=True, slots=True)
class EndServed:
    """End the workers of a served action; the `Reply` is whether it had any."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class Close:
    """End everything, then the driver."""

    leaves_jobs: bool = False
    """Whether jobs on nodes continue."""


# The driver to the agent.


@dataclass(frozen=True, slots=True)
class Ready:
    """The cluster accepts runs."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The cluster can't be used; no message follows."""

    why: str


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning for the agent's operator."""

    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """News of a run."""

    number: int
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class NodesSeen:
    """All nodes, or why the cluster could not be queried."""

    number: int
    reports: tuple[NodeReport, ...] = ()
    silence: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to the request with that number."""

    number: int
    value: Any


# Of a run. The last of its items is `Succeeded`, `Failed` or `EnvironmentMissing`.


@dataclass(frozen=True, slots=True)
class Placed:
    """The run is being sent to a node; from here on it may have run."""

    node: str
    begins: bool = True
    """Whether it is sent, rather than found there."""


@dataclass(frozen=True, slots=True)
class Started:
    """The action's process has started."""


@dataclass(frozen=True, slots=True)
class At:
    """The time of what follows, in seconds since 1970."""

    moment: float


@dataclass(frozen=True, slots=True)
class LogOutput:
    """Output of the run."""

    data: bytes


@dataclass(frozen=True, slots=True)
class RunEvent:
    """An event of the run."""

    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the result."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Left:
    """The run has left these files; the driver fetches them from the node, and sends their parts before this."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutputPart:
    """The next piece of an output file."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The result is complete."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The problem of the run."""

    status: int
    error_type: str
    message: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, problem: Problem) -> Failed:
        """Convert a problem into a message, since an exception can't be sent."""
        return cls(problem.status, problem.error_type, problem.message, problem.extra)

    @property
    def problem(self) -> Problem:
        """Return the problem."""
        return Problem(self.status, self.error_type, self.message, **self.extra)


@dataclass(frozen=True, slots=True)
class EnvironmentMissing:
    """The node with room for the run lacks its environment, so nothing has run; sent only to the agent."""

    node_id: str


@dataclass(frozen=True, slots=True)
class SourceMissing:
    """The node lacks the source, or the job, so nothing has run; handled by the driver."""


Item = (
    Placed
    | Started
    | At
    | LogOutput
    | RunEvent
    | Part
    | Left
    | OutputPart
    | Succeeded
    | Failed
    | EnvironmentMissing
    | SourceMissing
)


def packed(message: object) -> bytes:
    """Return a message as a frame. Both ends are processes of this agent, so pickle is safe."""
    payload = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(payload)) + payload


async def receive(reader: asyncio.StreamReader) -> Any:
    """Read a message; return None if the other end is closed."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return pickle.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def receive_now(connection: socket.socket) -> Any:
    """Read a message from a blocking socket; return None if the other end is closed."""
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
