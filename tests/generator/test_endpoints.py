"""What the template override adds to each generated endpoint."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from synapse_agent_api import AuthenticatedClient, Client
from synapse_agent_api.api.health import health_check
from synapse_agent_api.api.jobs import get_job_logs, list_jobs
from synapse_agent_api.api.plugin_releases import (
    create_plugin_release,
    delete_plugin_release,
    get_plugin_release,
    list_plugin_releases,
    run_debug_plugin_release,
    run_plugin_release,
)
from synapse_agent_api.errors import UnexpectedBody, UnexpectedStatus
from synapse_agent_api.http_library import httpx
from synapse_agent_api.models import (
    CreatePluginReleaseRequest,
    ErrorBody,
    Job,
    LegacyRunPayload,
    PluginRelease,
    ReleaseFilters,
    RunRequest,
)

RUN = RunRequest("train")


def client_of(answer: Callable[[httpx.Request], httpx.Response], **options: Any) -> Client:
    """Return a generated client whose requests `answer` handles."""
    return Client("http://agent.test", httpx_args={"transport": httpx.MockTransport(answer)}, **options)


def client_that_gets(status: int, **answer: Any) -> Client:
    return client_of(lambda _: httpx.Response(status, **answer), raise_on_unexpected_status=True)


def test_a_request_has_only_what_was_passed() -> None:
    """Absent keys and parameters stay absent, even if the contract has a default."""
    assert run_plugin_release.build_request("123", body=RUN) == {
        "method": "POST",
        "url": "/plugin_releases/123/run/",
        "json": {"action": "train"},
        "headers": {"Content-Type": "application/json"},
    }
    assert list_plugin_releases.build_request()["params"] == {}
    assert list_plugin_releases.build_request(page=2)["params"] == {"page": 2}


def test_filters_are_query_parameters_of_their_own() -> None:
    """A free-form filter is sent besides those in the contract."""
    filters = ReleaseFilters.from_dict({"category": "custom"})

    assert list_plugin_releases.build_request(plugin="ocr", filters=filters)["params"] == {
        "plugin": "ocr",
        "category": "custom",
    }


def test_a_legacy_payload_goes_out_as_it_is() -> None:
    """Unknown keys, nulls and the order of the keys are kept."""
    payload = {"zeta": None, "action": "train", "params": {"a": [None]}, "alpha": 0}

    sent = run_plugin_release.build_request("1", body=LegacyRunPayload.from_dict(payload))["json"]

    assert json.dumps(sent) == json.dumps(payload)


@pytest.mark.parametrize(
    "lookup",
    [
        "my_plugin@1.0.0-rc.1+build.5",
        "a/b",
        "100%",
        "a%2Fb",
        "../..",
        "c@d@1",
        "a b?c#d;e",
        "플러그인@1.0",
        "...",
    ],
)
def test_a_lookup_is_one_segment_on_the_wire_and_comes_back_whole(lookup: str) -> None:
    """A lookup is sent percent-encoded, as one segment, whatever its characters."""
    sent: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.url)
        return httpx.Response(204)

    delete_plugin_release.sync(lookup, client=client_of(answer))

    path = sent[0].raw_path.decode()
    assert path.count("/") == 2
    assert not set(path) & set("?# +@")
    assert sent[0].path == f"/plugin_releases/{lookup}"


@pytest.mark.parametrize("lookup", ["", ".", ".."])
def test_what_would_name_another_path_is_no_lookup(lookup: str) -> None:
    """An empty lookup would list the releases, and dots would lead to the parent path: neither becomes a request."""
    with pytest.raises(ValueError, match="can't be a segment"):
        get_plugin_release.build_request(lookup)


def test_an_endpoint_lists_what_its_successes_contain() -> None:
    """`SUCCESS` has each successful status with the kind of its body, and no other status."""
    assert get_plugin_release.OPERATION_ID == "get_plugin_release"
    assert create_plugin_release.SUCCESS == {200: "object", 201: "object"}
    assert run_debug_plugin_release.SUCCESS == {200: "any", 202: "object"}
    assert delete_plugin_release.SUCCESS == {204: "empty"}
    assert get_job_logs.SUCCESS == {200: "text"}


@pytest.mark.parametrize("result", [None, 0, "", False, [], {}, "text", 1.5, {"losses": [0.5]}])
def test_any_json_value_is_a_result(result: Any) -> None:
    """An action's result is returned unchanged, including falsy values."""
    got = run_plugin_release.sync("1", client=client_that_gets(200, content=json.dumps(result)), body=RUN)

    assert got == result
    assert type(got) is type(result)


@pytest.mark.anyio
async def test_the_async_functions_do_the_same() -> None:
    """`asyncio` parses as `sync` does."""
    client = client_that_gets(200, json={"id": 1, "plugin": "ocr", "version": "2.0.0", "kept": True})
    async with client:
        release = await get_plugin_release.asyncio("1", client=client)

    assert isinstance(release, PluginRelease)
    assert release["kept"] is True


def test_answers_become_models_by_their_status() -> None:
    """A release, a job record, a list of them, a text, nothing, and an error each have their type."""
    job = dict.fromkeys(["release", "started_at", "finished_at", "progress", "error", "idempotency_key"])
    job |= {
        "job_id": "j",
        "action": "a",
        "method": "job",
        "status": "PENDING",
        "created_at": "2026-11-22T14:53:00Z",
    }
    create = CreatePluginReleaseRequest("ocr", "2.0.0")

    assert isinstance(run_plugin_release.sync("1", client=client_that_gets(202, json=job), body=RUN), Job)
    assert list_jobs.sync(client=client_that_gets(200, json=[job])) == [Job.from_dict(job)]
    assert get_job_logs.sync("j", client=client_that_gets(200, text="epoch 1\n")) == "epoch 1\n"
    assert delete_plugin_release.sync("1", client=client_that_gets(204)) is None
    refused = create_plugin_release.sync(client=client_that_gets(404, json={"detail": "no"}), body=create)
    assert refused == ErrorBody("no")


@pytest.mark.parametrize("status", [418, 499, 520, 302])
def test_an_unknown_status_is_an_error_on_request(status: int) -> None:
    """`raise_on_unexpected_status` selects between an error and None, for unnamed statuses, too."""
    with pytest.raises(UnexpectedStatus) as caught:
        health_check.sync(client=client_that_gets(status, html="<h1>teapot</h1>"))
    lenient = health_check.sync_detailed(client=client_of(lambda _: httpx.Response(status)))

    assert caught.value.status_code == status
    assert "teapot" in str(caught.value)
    assert (lenient.status_code, lenient.parsed) == (status, None)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b"null", b'"text"', b'{"id": 1}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_body_that_violates_the_contract_is_one_kind_of_error(content: bytes) -> None:
    """Invalid JSON or UTF-8, JSON of another shape, and endless nesting raise the same error, with their cause."""
    with pytest.raises(UnexpectedBody) as caught:
        get_plugin_release.sync("1", client=client_that_gets(200, content=content))

    assert caught.value.__cause__ is not None
    assert pickle.loads(pickle.dumps(caught.value)).content == content
    assert len(str(caught.value)) < 1000


def test_a_client_can_raise_its_own_errors() -> None:
    """An override of `unexpected` gets answer and cause, and raises its own error."""

    class Strict(Client):
        def unexpected(self, response: httpx.Response, cause: Exception | None = None) -> Exception:
            return LookupError(response.status_code, type(cause))

    transport = httpx.MockTransport(lambda _: httpx.Response(200, text="no"))
    with pytest.raises(LookupError, match="JSONDecodeError"):
        health_check.sync(client=Strict("http://agent.test", httpx_args={"transport": transport}))


def test_a_client_does_not_show_its_secrets() -> None:
    """The repr never shows the token or the values of headers and cookies, even after a request."""
    client = AuthenticatedClient(
        "http://agent.test", token="s3cret", prefix="", headers={"a": "s3cret"}, cookies={"b": "s3cret"}
    )

    assert "s3cret" not in repr(client)
    assert client.get_httpx_client().headers["Authorization"] == "s3cret"
    assert "s3cret" not in repr(client)


def test_building_a_request_loads_no_http_library_and_no_unused_model() -> None:
    """Importing an endpoint imports only what its request needs."""
    program = """
import sys
from synapse_agent_api.api.plugin_releases import get_plugin_release
get_plugin_release.build_request("1")
print([name for name in sys.modules if name in ("httpx", "pydantic") or ".models" in name])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"


def test_a_status_of_a_newer_agent_is_kept() -> None:
    """A status in a record that the contract does not list is parsed and serialized unchanged."""
    record = {"job_id": "j", "release": None, "action": "a", "method": "local", "status": "SUSPENDED"}
    record |= {"created_at": "2026-11-22T14:53:00+00:00", "started_at": None, "finished_at": None, "progress": None}
    record |= {"error": None, "idempotency_key": None, "rack": "n1"}
    jobs = list_jobs.sync(client=client_that_gets(200, json=[record]))
    assert isinstance(jobs, list)
    assert (jobs[0].status, jobs[0]["rack"]) == ("SUSPENDED", "n1")
    assert jobs[0].to_dict() == record


@pytest.mark.parametrize("status", [404, 418, 520])
def test_an_error_in_the_contract_s_shape_is_typed_whatever_its_status(status: int) -> None:
    """The contract's `default` applies to every status that it does not name."""
    body = {"detail": {"error_type": "teapot", "message": "Short and stout."}}
    got = get_plugin_release.sync("1", client=client_that_gets(status, json=body))
    assert isinstance(got, ErrorBody)
    assert got.to_dict() == body


@pytest.mark.parametrize("content", [b"", b"<html>", b"[1]", b'{"error": "x"}', b"null"])
def test_what_a_proxy_answers_is_an_unexpected_status(content: bytes) -> None:
    """A body that does not match the contract's error is neither parsed as `default` nor a bare exception."""
    with pytest.raises(UnexpectedStatus) as caught:
        get_plugin_release.sync("1", client=client_that_gets(520, content=content))
    assert (caught.value.status_code, caught.value.content) == (520, content)
