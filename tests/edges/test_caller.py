"""Mistakes of the caller: the error names the argument, and nothing is sent."""

from __future__ import annotations

import math
from datetime import date
from uuid import UUID

import pytest

from synapse_sdk.exceptions import InvalidLookupError


@pytest.fixture
def client(make_facade):
    """A client whose agent does not exist: a request would fail."""
    sent = []
    yield make_facade("http://127.0.0.1:9", "token", on_request=sent.append)
    assert sent == []


def holding_itself():
    model = {"name": "m"}
    model["best"] = [model]
    return {"model": model}


@pytest.mark.parametrize(
    ("params", "kind", "message"),
    [
        (
            {"rates": [0.1, {"last": math.nan}]},
            ValueError,
            "params.rates[1].last can't be sent as JSON: nan is not a JSON number.",
        ),
        ({"limit": -math.inf}, ValueError, "params.limit can't be sent as JSON: -inf is not a JSON number."),
        ({"tags": {"a"}}, TypeError, "params.tags can't be sent as JSON: set is not a JSON type."),
        (
            {"since": date(2026, 1, 1)},
            TypeError,
            "params.since can't be sent as JSON: date is not a JSON type.",
        ),
        ({"image": b"PNG"}, TypeError, "params.image can't be sent as JSON: bytes is not a JSON type."),
        ({"by": {(1, 2): "x"}}, TypeError, "params.by can't be sent as JSON: the key (1, 2) is tuple, not str."),
        (
            {"name": "\udcff"},
            ValueError,
            "params.name can't be sent as JSON: the text contains half of a surrogate pair.",
        ),
        (holding_itself(), ValueError, "params.model.best[0] can't be sent as JSON: it contains itself."),
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        lambda client, params: client.run_plugin_release("a@1", "go", params),
        lambda client, params: client.run_plugin_release("a@1", data={"action": "go", "params": params}),
        lambda client, params: client.run_debug_plugin_release("go", params),
    ],
    ids=["run", "legacy", "debug"],
)
def test_params_that_json_cannot_represent_are_named_by_their_path(client, call, params, kind, message):
    """This holds for each call that takes params."""
    with pytest.raises(kind) as caught:
        call(client, params)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"params": [1]}, "params must be a mapping, not list."),
        ({"params": "x"}, "params must be a mapping, not str."),
        ({"action": 5}, "action must be a str, not int."),
        ({"action": {"action": "go"}}, "action must be a str, not a mapping: pass a whole payload as data=."),
        ({"action": None}, "run_plugin_release() needs an action, or the whole payload as data=."),
        ({"data": [1], "action": None}, "data must be a mapping, not list."),
        ({"requirements": "pillow"}, "requirements must be a list of str, not one str: ['pillow']."),
        ({"requirements": {"pillow"}}, "requirements must be a list of str, not set."),
        ({"requirements": ["pillow", 9]}, "requirements[1] must be a str, not int."),
        ({"job_id": UUID(int=1)}, "job_id must be a str, not UUID."),
        ({"language": 3}, "language must be a str, not int."),
        ({"timeout": "10"}, "timeout must be a number of seconds, not str."),
        ({"timeout": True}, "timeout must be a number of seconds, not bool."),
        ({"timeout": {"read": "10"}}, "timeout['read'] must be a number of seconds, not str."),
        ({"lookup": None}, "lookup must be a str or an int, not NoneType."),
        ({"lookup": 1.0}, "lookup must be a str or an int, not float."),
        ({"lookup": True}, "lookup must be a str or an int, not bool."),
    ],
)
def test_arguments_of_the_wrong_type_are_named(client, arguments, message):
    """The message names the type that was passed."""
    with pytest.raises(TypeError) as caught:
        client.run_plugin_release(**{"lookup": "a@1", "action": "go", **arguments})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modules": ["main"]}, "modules must be a mapping, not list."),
        ({"modules": {"main": b"x"}}, "modules['main'] must be a str, not bytes."),
        ({"config": "config.yaml"}, "config must be a mapping, not str."),
        ({"plugin_path": 5}, "plugin_path must be a str, not int."),
    ],
)
def test_arguments_of_a_debug_run_are_named(client, arguments, message):
    """They are checked like those of a run."""
    with pytest.raises(TypeError) as caught:
        client.run_debug_plugin_release("go", **arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("plugin", 1.1), TypeError, "version must be a str, not float."),
        ((5, "1.0"), TypeError, "plugin must be a str, not int."),
        (("", "1.0"), ValueError, "plugin is empty."),
        (("plugin", ""), ValueError, "version is empty."),
    ],
)
def test_arguments_of_create_are_named(client, arguments, kind, message):
    """A version is text: 1.10 as a number is 1.1."""
    with pytest.raises(kind) as caught:
        client.create_plugin_release(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("lookup", ["", ".", "..", "a\nb", "\x00", "\udcff"])
@pytest.mark.parametrize("name", ["get_plugin_release", "delete_plugin_release", "run_plugin_release"])
def test_a_lookup_that_names_nothing_is_refused(client, name, lookup):
    """The error is both a `ValueError` and a `ClientError`."""
    with pytest.raises(InvalidLookupError) as caught:
        getattr(client, name)(lookup, *(["go"] if name.startswith("run") else []))
    assert isinstance(caught.value, ValueError)
    assert caught.value.outcome == "not_sent"
    assert caught.value.message == f"{lookup!r} can't name a release: use its ID, such as 123, or 'code@version'."


@pytest.mark.parametrize(
    ("base_url", "kind", "message"),
    [
        ("", ValueError, "base_url is empty: pass the agent's address, or set SYNAPSE_AGENT_URL."),
        (" ", ValueError, "base_url is empty: pass the agent's address, or set SYNAPSE_AGENT_URL."),
        ("agent.test", ValueError, "base_url must look like https://agent.example.com, not 'agent.test'."),
        ("localhost:8000", ValueError, "base_url must look like https://agent.example.com, not 'localhost:8000'."),
        ("//agent.test", ValueError, "base_url must look like https://agent.example.com, not '//agent.test'."),
        ("ftp://agent.test", ValueError, "base_url must look like https://agent.example.com, not 'ftp://agent.test'."),
        ("http://", ValueError, "base_url must look like https://agent.example.com, not 'http://'."),
        ("http://agent.test:port", ValueError, "base_url is not an address: "),
        (5, TypeError, "base_url must be a str, not int."),
    ],
)
def test_a_base_url_that_is_none_is_refused(make_facade, base_url, kind, message):
    """It is refused when the client is made, with an example of a valid one."""
    with pytest.raises(kind) as caught:
        make_facade(base_url)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("token", ["secret\n", "secret\r\nX-Other: 1", "sécret", ""])
@pytest.mark.parametrize("name", ["access_token", "user_token", "tenant"])
def test_a_token_that_no_header_can_carry_is_refused_without_being_shown(make_facade, name, token):
    """The newline comes from the token's file; the message mentions it."""
    wrong = "can't be sent as a header: it must be printable ASCII without blanks or a newline at its ends."
    with pytest.raises(ValueError, match=f"^{name} {wrong if token else 'is empty.'}$") as caught:
        make_facade("http://agent.test", **{name: token})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("timeout", "kind", "message"),
    [
        (-1, ValueError, "timeout must be more than 0 seconds and finite (None for no limit), not -1."),
        (0, ValueError, "timeout must be more than 0 seconds and finite (None for no limit), not 0."),
        (math.nan, ValueError, "timeout must be more than 0 seconds and finite (None for no limit), not nan."),
        ("10", TypeError, "timeout must be a number of seconds, not str."),
        (True, TypeError, "timeout must be a number of seconds, not bool."),
        ((3, 10, 1), ValueError, "timeout takes (connect, read), not 3 values."),
        ((3, -10), ValueError, "timeout[1] must be more than 0 seconds and finite (None for no limit), not -10."),
        ({"conect": 3}, ValueError, "timeout takes 'connect' and 'read', not 'conect'."),
        (
            {"read": -1},
            ValueError,
            "timeout['read'] must be more than 0 seconds and finite (None for no limit), not -1.",
        ),
    ],
)
def test_a_timeout_that_is_none_is_refused(make_facade, client, timeout, kind, message):
    """It is refused when the client is made, and on a call."""
    for use in (
        lambda: make_facade("http://agent.test", timeout=timeout),
        lambda: client.run_plugin_release("a@1", "go", timeout=timeout),
        lambda: client.run_debug_plugin_release("go", timeout=timeout),
    ):
        with pytest.raises(kind) as caught:
            use()
        assert str(caught.value) == message
