"""The lines of a job's journal: the events that its action recorded, and the values that it yielded.

Each has `log`, the size of the job's log at that time. The value of an output remains the text that the run sent, the
last item in its line: values of megabytes pass through the agent unparsed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from synapse_agent.util.json_text import json_bytes

_OUTPUT = b'{"output":'
_VALUE = b',"value":'
"""Can't occur earlier in a line: a quote inside a text has a backslash."""
_MESSAGE = 200
"""Characters of a value that messages show."""


class JournalEntry(NamedTuple):
    """A line as in a job's event stream."""

    log: int
    data: bytes
    """The event's data, as JSON."""


def event_line(log: int, event: Mapping[str, Any]) -> bytes:
    """Serialize an event that the action recorded."""
    return json_bytes({"log": log, **event}) + b"\n"


def output_line(log: int, index: int, value: bytes, *, at: str) -> bytes:
    """Serialize a value that the action yielded, JSON on one line."""
    return json_bytes({"output": index, "log": log, "at": at})[:-1] + _VALUE + value + b"}\n"


def read(line: bytes) -> JournalEntry:
    """Parse a line."""
    if not line.startswith(_OUTPUT):
        entry = json.loads(line)
        log = entry.pop("log")
        return JournalEntry(log, json_bytes({"type": "event", "message": entry["event"], **entry}))
    head, _, value = line.rstrip(b"\n").partition(_VALUE)
    facts = json.loads(head + b"}")
    event = {"type": "output", "message": _message(value[:-1]), "index": facts["output"], "at": facts["at"]}
    return JournalEntry(facts["log"], json_bytes(event)[:-1] + _VALUE + value)


def _message(value: bytes) -> str:
    """Return the beginning of a text, or of any other value's JSON."""
    text = value[: 6 * _MESSAGE].decode(errors="ignore")
    if text.startswith('"') and len(value) <= 6 * _MESSAGE:
        text = json.loads(value)
    return text if len(text) <= _MESSAGE else text[:_MESSAGE] + "…"
