"""The lines of a journal."""

from __future__ import annotations

import json

import pytest

from synapse_agent.jobs import journal


def test_an_event_is_read_as_it_was_written():
    """Its name is the message."""
    line = journal.event_line(7, {"event": "scored", "data": {"output": ',"value":'}, "at": "now"})
    assert line.count(b"\n") == 1
    entry = journal.read(line)
    assert entry.log == 7
    assert json.loads(entry.data) == {
        "type": "event",
        "message": "scored",
        "event": "scored",
        "data": {"output": ',"value":'},
        "at": "now",
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"a":1}', '{"a":1}'),
        ('"text"', "text"),
        ('{"value":{"output":0},"value":1}', '{"value":{"output":0},"value":1}'),
        ('"' + "x" * 300 + '"', "x" * 200 + "…"),
        ("[" + "1," * 3000 + "1]", ("[" + "1," * 3000)[:200] + "…"),
        ('"' + "한" * 5000 + '"', '"' + "한" * 199 + "…"),
        ("null", "null"),
    ],
)
def test_an_output_keeps_its_value_as_the_text_that_it_was(value, message):
    """Its message is the beginning of the value."""
    entry = journal.read(journal.output_line(5, 3, value.encode(), at="now"))
    assert entry.log == 5
    assert entry.data.endswith(b',"value":' + value.encode() + b"}")
    data = json.loads(entry.data)
    assert (data["type"], data["index"], data["at"], data["message"]) == ("output", 3, "now", message)
