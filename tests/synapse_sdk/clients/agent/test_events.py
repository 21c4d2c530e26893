"""The types of a log's events match the contract."""

from __future__ import annotations

from typing import get_args, get_type_hints

from contract import CONTRACT

from synapse_sdk.clients.agent.events import JobLogEvent


def test_events_are_those_of_the_contract() -> None:
    """The types have exactly the schema's keys and the contract's values of `type`."""
    schema = CONTRACT["components"]["schemas"]["JobStreamEvent"]
    hints = [get_type_hints(event) for event in get_args(JobLogEvent)]
    assert {key for each in hints for key in each} == set(schema["properties"])
    types = [get_args(each["type"])[0] for each in hints]
    assert sorted(types) == sorted(schema["properties"]["type"]["x-extensible-enum"])
