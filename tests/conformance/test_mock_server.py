"""The facade with a foreign agent, which Prism generates from the contract alone."""

from __future__ import annotations

import asyncio
import inspect
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from contract import CONTRACT

from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.exceptions import AuthenticationError, ClientConnectionError, ValidationError

REPOSITORY = Path(__file__).parents[2]
PRISM = REPOSITORY / "tests" / "mock" / "node_modules" / ".bin" / "prism"
METHODS = ("get", "post", "put", "patch", "delete")
STARTS_WITHIN = 60.0

OF_FILES = ("get_file", "put_file_content", "get_file_content", "delete_file", "get_job_file", "push_plugin_release")
"""Operations for which the facade's methods take files and references instead of their parameters: `tests/files`."""

Call = Callable[..., Any]


def resolved(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry of the contract, with its reference resolved."""
    found: Any = CONTRACT
    for part in entry["$ref"].removeprefix("#/").split("/") if "$ref" in entry else ():
        found = found[part]
    return found if "$ref" in entry else entry


def first_example(entry: Mapping[str, Any]) -> Any:
    """Return the first example of a parameter or of a body, None without one."""
    return next(iter(entry["examples"].values()))["value"] if "examples" in entry else entry.get("example")


def operations() -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the contract's operations that the facade has a method for, with their paths."""
    found = {
        item[method]["operationId"]: (item, item[method])
        for item in CONTRACT["paths"].values()
        for method in METHODS
        if method in item
    }
    return {name: operation for name, operation in found.items() if hasattr(AgentClient, name) and name not in OF_FILES}


def arguments(operation_id: str) -> dict[str, Any]:
    """Return the arguments for a method: the contract's examples."""
    item, operation = operations()[operation_id]
    parameters = [resolved(each) for each in [*item.get("parameters", []), *operation.get("parameters", [])]]
    given = {each["name"]: first_example(each) for each in parameters if each["in"] in ("path", "query")}
    if operation_id == "list_plugin_releases":
        filters = given.pop("filters")
        return {"params": {**given, **filters}}
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return {**given, **(first_example(body) or {})}


def result(operation_id: str) -> Any:
    """Return what a method must return: the first example of the first success."""
    status, answer = next(iter(operations()[operation_id][1]["responses"].items()))
    assert status.startswith("2")
    content = resolved(answer).get("content")
    return first_example(next(iter(content.values()))) if content else None


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a mock server."""
    if not PRISM.exists():
        pytest.skip(
            "Prism is missing: `make tests/mock/node_modules/.installed` installs it, and `make test` does, too."
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [PRISM, "mock", REPOSITORY / "openapi.yaml", "--host", "127.0.0.1", "--port", port]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def wait_for(address: str) -> None:
    """Wait until an agent responds."""
    end = time.monotonic() + STARTS_WITHIN
    with AgentClient(address, "token", max_retries=0) as client:
        while True:
            try:
                client.health_check()
                return
            except ClientConnectionError:
                assert time.monotonic() < end, "the mock server does not start"
                time.sleep(0.1)


@pytest.fixture(params=[AgentClient, AsyncAgentClient])
def call(request: pytest.FixtureRequest, address: str) -> Iterator[Call]:
    """Call a method of either client by its name."""
    client = request.param(address, "token")
    with asyncio.Runner() as runner:

        def call(method: str, **kwargs: Any) -> Any:
            value = getattr(client, method)(**kwargs)
            return runner.run(value) if inspect.iscoroutine(value) else value

        yield call
        call("close" if isinstance(client, AgentClient) else "aclose")


@pytest.mark.parametrize("operation_id", operations())
def test_every_method_gets_what_the_contract_shows(call: Call, operation_id: str) -> None:
    """Called with the contract's examples, it sends what the contract allows and returns what the contract shows."""
    assert call(operation_id, **arguments(operation_id)) == result(operation_id)


def test_what_the_contract_does_not_allow_is_an_error_of_ours(call: Call, address: str) -> None:
    """This agent has other error bodies, but each becomes one of the client's errors."""
    with pytest.raises(ValidationError) as caught:
        call("list_plugin_releases", params={"page": 0})
    assert caught.value.outcome == "rejected"
    with AgentClient(address) as stranger, pytest.raises(AuthenticationError):
        stranger.list_plugin_releases()


def test_most_of_the_contract_is_covered() -> None:
    """The facade has a method for each operation, but for streams and for what only browsers do."""
    everything = {
        item[method]["operationId"] for item in CONTRACT["paths"].values() for method in METHODS if method in item
    }
    assert everything - operations().keys() == {
        *("stream_job_logs", "stream_events"),
        *("create_session", "get_session", "delete_session"),
        *OF_FILES,
    }
