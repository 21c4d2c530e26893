"""The typed attrs API, which uses the facade's session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from synapse_agent_api.api.plugin_releases import get_plugin_release, list_plugin_releases, run_plugin_release
from synapse_agent_api.http_library import httpx
from synapse_agent_api.models.error_body import ErrorBody
from synapse_agent_api.models.plugin_release import PluginRelease
from synapse_agent_api.models.plugin_release_page import PluginReleasePage
from synapse_agent_api.models.run_request import RunRequest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient


def typed(facade: Any, operation: Any, *args: Any, **kwargs: Any) -> Any:
    """Call the generated function, sync or async, for the client."""
    function = operation.sync if isinstance(facade.client, AgentClient) else operation.asyncio
    return facade.finish(function(*args, client=facade.api, **kwargs))


def test_generated_functions_use_the_facade_s_session(answering: Callable[..., Any]) -> None:
    """They send its token to its address and return attrs models."""
    sent: list[httpx.Request] = []

    def record(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"id": 1, "plugin": "p", "version": "1", "extra": "kept"})

    facade = answering(record, access_token="t")
    release = typed(facade, get_plugin_release, "p@1")
    assert isinstance(release, PluginRelease)
    assert (release.id, release.plugin, release["extra"]) == (1, "p", "kept")
    assert str(sent[0].url) == "http://agent.test/plugin_releases/p%401"
    assert sent[0].headers["authorization"] == "t"


def test_a_documented_error_is_a_model(answering: Callable[..., Any]) -> None:
    """The typed API returns documented errors as models, like generated clients."""
    facade = answering(lambda _: httpx.Response(404, json={"detail": "Not found."}))
    error = typed(facade, get_plugin_release, "p@1")
    assert isinstance(error, ErrorBody)
    assert error.detail == "Not found."


def test_a_page_is_a_model(answering: Callable[..., Any]) -> None:
    """A page is returned as a model that contains models."""
    page = {"count": 1, "next": None, "previous": None, "results": [{"id": 1, "plugin": "p", "version": "1"}]}
    result = typed(answering(lambda _: httpx.Response(200, json=page)), list_plugin_releases)
    assert isinstance(result, PluginReleasePage)
    assert result.results[0].plugin == "p"


@pytest.mark.parametrize("status", [418, 499, 520, 302])
def test_an_undocumented_status_is_one_of_our_errors(answering: Callable[..., Any], status: int) -> None:
    """A generated function does not return None or raise a bare ValueError."""
    facade = answering(lambda _: httpx.Response(status, content=b"<html>"))
    with pytest.raises(exceptions.HTTPError):
        typed(facade, run_plugin_release, "p@1", body=RunRequest(action="a"))


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"id": 1}'])
def test_an_odd_body_is_one_of_our_errors(answering: Callable[..., Any], content: bytes) -> None:
    """No JSONDecodeError, KeyError or TypeError occurs."""
    with pytest.raises(exceptions.ResponseParseError):
        typed(answering(lambda _: httpx.Response(200, content=content)), get_plugin_release, "p@1")


def test_a_broken_connection_is_one_of_our_errors(make_facade: Callable[..., Any]) -> None:
    """Transport failures are the same errors as the facade's."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(exceptions.ClientConnectionError, match="refused"):
        typed(make_facade(transport=httpx.MockTransport(refuse)), get_plugin_release, "p@1")


def test_functions_of_the_other_kind_are_refused(recording: Callable[..., Any]) -> None:
    """Sync functions with an async client, and the reverse, would open connections without token and limits."""
    facade, sent = recording(access_token="t")
    if isinstance(facade.client, AgentClient):
        with pytest.raises(TypeError, match="generated sync functions"):
            facade.finish(get_plugin_release.asyncio("p@1", client=facade.api))
    else:
        with pytest.raises(TypeError, match="generated asyncio functions"):
            get_plugin_release.sync("p@1", client=facade.api)
    assert sent == []


def test_absent_fields_of_a_model_read_as_unset() -> None:
    """A model's repr shows no object's address."""
    assert "params=UNSET" in repr(RunRequest(action="a"))
