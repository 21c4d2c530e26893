"""Which params a job's record keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.jobs.kept_params import LARGEST, kept_params
from synapse_sdk.clients.agent import AgentClient

SECRET = {"type": "string", "writeOnly": True}
SCHEMA = {
    "type": "object",
    "properties": {
        "user": {"type": "string"},
        "password": SECRET,
        "maybe": {"anyOf": [SECRET, {"type": "null"}]},
        "account": {"$ref": "#/$defs/Account"},
        "accounts": {"type": "array", "items": {"$ref": "#/$defs/Account"}},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, SECRET]},
        "by_name": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Account"}},
        "tokens": {"type": "object", "patternProperties": {"^t": SECRET}},
        "whole": {"allOf": [{"$ref": "#/$defs/Hidden"}]},
    },
    "$defs": {
        "Account": {"type": "object", "properties": {"name": {}, "key": SECRET, "next": {"$ref": "#/$defs/Account"}}},
        "Hidden": {"type": "object", "writeOnly": True},
    },
}
PLUGIN = {
    "config.yaml": """
        code: login
        version: 1.0.0
        actions: {enter: "main:enter", plain: "main:plain"}
        """,
    "main.py": """
        class Params:
            @staticmethod
            def model_json_schema():
                properties = {"user": {"type": "string"}, "password": {"type": "string", "writeOnly": True}}
                return {"type": "object", "properties": properties}


        def enter(**params):
            return sorted(params)


        enter.params_model = Params


        def plain(number: int = 1):
            return number
        """,
}


def kept(params: Any) -> Any:
    """Return the params that a record keeps."""
    text = kept_params(json.dumps(params).encode(), SCHEMA)
    return None if text is None else json.loads(text)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"user": "ann", "password": "s3cret"}, {"user": "ann"}),
        ({"maybe": "s3cret"}, {}),
        (
            {"account": {"name": "a", "key": "s3cret", "next": {"key": "s3cret"}}},
            {"account": {"name": "a", "next": {}}},
        ),
        ({"accounts": [{"name": "a", "key": "s3cret"}]}, {"accounts": [{"name": "a"}]}),
        ({"pair": ["left", "s3cret"]}, {"pair": ["left"]}),
        ({"by_name": {"a": {"key": "s3cret"}}}, {"by_name": {"a": {}}}),
        ({"tokens": {"t1": "s3cret"}}, {"tokens": {}}),
        ({"whole": {"a": 1}}, {}),
        ({"unknown": "ü"}, {"unknown": "ü"}),
    ],
)
def test_secrets_are_left_out(params: Any, expected: Any) -> None:
    """The schema may mark them anywhere in the params."""
    assert kept(params) == expected


def test_large_params_are_not_kept() -> None:
    """Records stay small."""
    assert kept({"user": "x" * LARGEST}) is None


@pytest.fixture
def plugins(tmp_path: Path, write_plugin: Any) -> Path:
    """A plugin with an action that takes a secret."""
    write_plugin(tmp_path / "plugins" / "login", PLUGIN)
    return tmp_path / "plugins"


@pytest.fixture
def client(plugins: Path) -> Iterator[AgentClient]:
    """A client of an agent that has that plugin."""
    with EmbeddedAgent(plugins) as agent, agent.client() as client:
        client.create_plugin_release("login", "1.0.0")
        yield client


def params_of(client: AgentClient, job_id: str) -> Any:
    return client.get_job(job_id)["params"]


def test_a_record_has_its_params_but_for_secrets(client: AgentClient) -> None:
    """This includes the first run, whose schema becomes known after it."""
    given = {"user": "ann", "password": "s3cret"}
    for job_id in ("first", "second"):
        assert client.run_plugin_release("login@1.0.0", "enter", params=given, job_id=job_id) == ["password", "user"]
        until(lambda job_id=job_id: params_of(client, job_id))
        assert params_of(client, job_id) == {"user": "ann"}
    client.run_plugin_release("login@1.0.0", "plain", params={"number": 2}, job_id="third")
    assert params_of(client, "third") == {"number": 2}
    assert [job["params"] for job in client.list_jobs(action="enter")] == [{"user": "ann"}] * 2


def test_no_params_are_kept_if_the_operator_wants_none(plugins: Path) -> None:
    """This holds for the first run and for later ones."""
    with EmbeddedAgent(plugins, keep_params=False) as agent, agent.client() as client:
        client.create_plugin_release("login", "1.0.0")
        for job_id in ("first", "second"):
            client.run_plugin_release("login@1.0.0", "plain", job_id=job_id)
            until(lambda: "params_schema" in client.get_plugin_release("login@1.0.0")["actions"][0])
            assert params_of(client, job_id) is None


def test_params_of_a_debug_run_are_not_kept(client: AgentClient, plugins: Path) -> None:
    """Without a schema, the agent can't know which of them are secrets."""
    client.run_debug_plugin_release("plain", plugin_path=plugins / "login", params={"number": 3}, job_id="debug")
    assert params_of(client, "debug") is None


def test_a_record_has_the_caller_and_the_request(tmp_path: Path, write_plugin: Any) -> None:
    """The record has the token's name, the address, the program, the request, and the call's requirements."""
    main = "def go():\n    raise ValueError\n"
    config = "code: small\nversion: 1.0.0\nactions: {go: 'main:go'}\n"
    write_plugin(tmp_path / "plugins" / "small", {"config.yaml": config, "main.py": main})
    with EmbeddedAgent(tmp_path / "plugins") as agent, agent.client(headers={"X-Request-ID": "r-1"}) as client:
        client.create_plugin_release("small", "1.0.0")
        for attempt in (1, 2):
            with pytest.raises(Exception, match="ValueError"):
                client.run_plugin_release("small@1.0.0", "go", job_id="again")
            record = client.get_job("again")
            assert record["attempts"] == attempt
        assert (record["requirements"], record["node"]) == ([], None)
        caller = record["caller"]
        assert (caller["token"], caller["address"], caller["request_id"]) == ("default", "127.0.0.1", "r-1")
        assert caller["user_agent"].startswith("synapse-agent-client/")
