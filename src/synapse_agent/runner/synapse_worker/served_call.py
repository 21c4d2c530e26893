"""One call of a served worker: its channel, params and stop, received from the agent."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from _socket import AF_UNIX, MSG_DONTWAIT, SOCK_DGRAM, socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from . import protocol
from .context import Context
from .inputs import copied, remove, resolved
from .kernel import libc, receive
from .outcome import parted, read_params
from .reports import Reports, moved
from .view import call_inputs_of, call_outputs_of

_ENDS = 2
"""Descriptors of a channel."""
_MOST = _ENDS + protocol.MAX_FILES + 1
_UNTOUCHED = (716_299_100, 716_299_100)
"""The times, in ns, of a folder in which nothing was ever made: one look at them takes less time than listing it.

They are odd, since an action may copy the times of another folder, and some have those of 1970.
"""


class Channel:
    """A report socket and a log pipe, for one call after another."""

    def __init__(self, report: int, log: int) -> None:
        self.connection = connected(moved(report))
        self.log = moved(log)
        self.is_open = True

    def close(self) -> None:
        """Close both; the agent sends others with its next call."""
        if self.is_open:
            self.is_open = False
            self.connection.close()
            os.close(self.log)


class ServedCall:
    """A call, from its message to its outcome."""

    def __init__(
        self,
        head: dict[str, Any],
        text: bytes,
        channel: Channel,
        files: Sequence[int],
        *,
        action: str,
        outputs: str,
        prepared: str | None,
    ) -> None:
        self._text = text
        self.reports = Reports(channel.connection.fileno(), bytes.fromhex(head["secret"]))
        self.log = channel.log
        self.is_first_of_channel: bool = head["is_new"]
        self._channel = channel
        self._is_stopped = False
        self._has_outputs = self._has_left_processes = False
        self._files = files
        self._names = [(identity, name) for identity, name in head["inputs"]]
        self._outputs = call_outputs_of(outputs, head["number"])
        self._next_outputs = call_outputs_of(outputs, head["number"] + 1)
        self._inputs = call_inputs_of(outputs, head["number"])
        if self._outputs != prepared:
            _make_folder(self._outputs)
        language = {} if head["language"] is None else {"SYNAPSE_LANGUAGE": head["language"]}
        self.env = {**language, "SYNAPSE_JOB_ID": head["job_id"], "SYNAPSE_OUTPUT_DIR": self._outputs}
        self.context = Context(
            self.reports,
            job_id=head["job_id"],
            action=action,
            language=head["language"],
            outputs=self._outputs,
            storage=os.environ["SYNAPSE_STORAGE_DIR"],
        )

    @classmethod
    def receive(
        cls, connection: socket, channels: dict[int, Channel], *, action: str, outputs: str, prepared: str | None
    ) -> ServedCall | None:
        """Wait for the next call on the worker's report socket; return None once the agent ends the worker.

        `channels` are those that the worker has, by number; one that comes with the call is added. `prepared` is the
        folder that the call before it has prepared.
        """
        message, descriptors = receive(connection, 1 + 2 * protocol.MAX_PAYLOAD, _MOST)
        if message[:1] != protocol.CALL or not (message[1:] or descriptors):
            return None
        head, text = parted(message[1:] or _read(descriptors.pop()))
        number = head["channel"]
        if head["is_new"]:
            if len(descriptors) < _ENDS:  # it has too many open files
                return None
            report, log, *descriptors = descriptors
            if number in channels:
                channels[number].close()
            channels[number] = Channel(report, log)
        return cls(head, text, channels[number], descriptors, action=action, outputs=outputs, prepared=prepared)

    def params(self) -> dict[str, Any]:
        """Decode its params, with each file reference replaced by a path."""
        params = read_params(self._text)
        if not self._names:
            return params
        if len(self._files) != len(self._names):
            raise OSError(errno.EMFILE, "The files that the params refer to could not all be received")
        found: dict[str, Any] = resolved(params, copied(self._inputs, self._names, self._files))
        return found

    def is_stopped(self) -> bool:
        """Return whether the agent has sent its stop since the last check."""
        try:
            self._is_stopped = self._channel.connection.recv(1, MSG_DONTWAIT) == protocol.STOP
        except BlockingIOError:
            return False
        return self._is_stopped

    def finish(self, outcome: tuple[bytes, bytes]) -> None:
        """Report its outcome; `settle` follows."""
        self.context.flush()
        if self._names:
            remove(self._inputs)
        self._has_outputs = _may_hold_files(self._outputs)
        if self._has_outputs:
            self.reports.tell(protocol.OUTPUTS)
        self._has_left_processes = _has_children()
        if self._has_left_processes:
            self.reports.tell(protocol.LEFT)
        self.reports.outcome(*outcome)
        if self._has_left_processes or self._is_stopped:
            self._channel.close()

    def settle(self, *, prepares_next: bool) -> str | None:
        """Remove its empty folder of outputs, and return that of the next call, prepared while no caller waits.

        That is the same folder, unless processes that the call has left may use it.
        """
        with suppress(OSError):
            if prepares_next and not (self._has_outputs or self._has_left_processes):
                os.rename(self._outputs, self._next_outputs)  # keeps its times
                return self._next_outputs
            if not self._has_outputs:
                os.rmdir(self._outputs)
            if prepares_next:
                _make_folder(self._next_outputs)
                return self._next_outputs
        return None


def _make_folder(path: str) -> None:
    """Make a call's folder of outputs."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    with suppress(OSError):  # then it is listed
        os.utime(path, ns=_UNTOUCHED)


def _may_hold_files(folder: str) -> bool:
    try:
        return os.stat(folder).st_mtime_ns != _UNTOUCHED[1] and bool(os.listdir(folder))
    except OSError:  # the call has put something else in its place
        return True


def _has_children() -> bool:
    """Return whether this process has children, or has adopted orphans of theirs; ended ones count."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def connected(descriptor: int) -> socket:
    """Return the report socket with this descriptor, which it closes."""
    return socket(AF_UNIX, SOCK_DGRAM, 0, descriptor)


def limit_cpu(seconds: int | None) -> None:
    """Make the kernel end this process after this many more seconds of CPU time."""
    if seconds is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


class StandardOutput:
    """This process's stdout and stderr, lent to a call and taken back."""

    def __init__(self) -> None:
        self._own = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)

    def lend(self, log: int) -> None:
        """Redirect all output to a call's log."""
        os.dup2(log, 1)
        os.dup2(log, 2)

    def take_back(self) -> None:
        """Redirect all output to the worker's own log again; the content of C's buffers still belongs to the call."""
        libc.fflush(None)
        self.lend(self._own)


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb", buffering=0) as file:
        return file.read()
