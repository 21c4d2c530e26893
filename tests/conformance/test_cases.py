"""Every conformance case, through both clients, over real sockets."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cases import Case, ExpectedCall, check_requests, expand, load
from faults import FaultServer
from judge import Ending, check_ending

from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent.clock import Clock
from synapse_sdk.exceptions import Attempt, ClientError

CASES = load()
ENVIRONMENT = ("SYNAPSE_AGENT_TOKEN", "SYNAPSE_USER_TOKEN", "SYNAPSE_TENANT", "HTTP_PROXY", "http_proxy", "ALL_PROXY")


class Player:
    """Makes a case's calls with a client whose clock advances by each wait instead of waiting."""

    def __init__(self, server: FaultServer, case: Case) -> None:
        self.waits: list[float] = []
        options = {**case.client, "on_request": lambda _: server.expect_request()}
        self._address = server.base_url + options.pop("base_path", "")
        self._options = {
            {"token": "access_token"}.get(name, name): tuple(value) if isinstance(value, list) else value
            for name, value in options.items()
        }
        self._options["clock"] = Clock(
            now=lambda: time.monotonic() + sum(self.waits),
            uniform=lambda _, longest: longest,
            sleep=self.waits.append,
            async_sleep=self._sleep,
        )

    def call(self, expected: ExpectedCall) -> Any:
        """Make a call and return its result."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections."""
        raise NotImplementedError

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


class SyncPlayer(Player):
    """Plays with `AgentClient`."""

    def __init__(self, server: FaultServer, case: Case) -> None:
        super().__init__(server, case)
        self._client = AgentClient(self._address, **self._options)

    def call(self, expected: ExpectedCall) -> Any:
        value = getattr(self._client, expected.method)(**expand(dict(expected.arguments)))
        return list(value) if isinstance(value, Iterator) else value

    def close(self) -> None:
        self._client.close()


class AsyncPlayer(Player):
    """Plays with `AsyncAgentClient`, on its own event loop."""

    def __init__(self, server: FaultServer, case: Case) -> None:
        super().__init__(server, case)
        self._client = AsyncAgentClient(self._address, **self._options)
        self._runner = asyncio.Runner()

    def call(self, expected: ExpectedCall) -> Any:
        return self._runner.run(self._call(expected))

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    async def _call(self, expected: ExpectedCall) -> Any:
        value = getattr(self._client, expected.method)(**expand(dict(expected.arguments)))
        return await value if inspect.isawaitable(value) else [item async for item in value]


@pytest.mark.parametrize("player_of", [SyncPlayer, AsyncPlayer])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(case: Case, player_of: type[Player], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client sends, waits, returns and raises matches the case."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    with FaultServer(case.script()) as server:
        player = player_of(server, case)
        try:
            for expected in case.calls:
                check_ending(ending_of(player, expected), expected, server.received)
        finally:
            player.close()
    check_requests(case, server.received)
    assert server.left == [], "not all of the script was played"


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    """At least 80 cases apply to every language, and each name is unique."""
    assert len([case for case in CASES if not case.python_only]) >= 80
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)
    assert all(case.why.endswith(".") and case.calls for case in CASES)


def ending_of(player: Player, expected: ExpectedCall) -> Ending:
    """Make a call and return how it ended."""
    time.sleep(expected.pause)
    begun, waited = time.monotonic(), len(player.waits)
    result, error = None, None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", UserWarning)
        try:
            result = player.call(expected)
        except (ClientError, TypeError, ValueError) as raised:
            error = report_of(raised, expected.error or {})
    seconds = time.monotonic() - begun
    warned = [str(warning.message) for warning in caught]
    return Ending(result=result, error=error, waits=player.waits[waited:], seconds=seconds, warned=warned)


def report_of(error: Exception, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an error, by the names in the cases."""
    report: dict[str, Any] = {"class": type(error).__name__, "text": str(error)}
    if isinstance(error, ClientError):
        assert getattr(exceptions, report["class"]) is type(error)
        report |= {name: getattr(error, name) for name in ("outcome", "status_code", "detail", "error_type")}
        report |= {name: getattr(error, name, None) for name in ("request_id", "retry_after", "idempotency_key")}
        report["attempts"] = [attempt_of(attempt) for attempt in error.attempts]
        report["fields"] = {name: getattr(error, name) for name in expected.get("fields", {})}
    return report


def attempt_of(attempt: Attempt) -> int | str | None:
    """Return an attempt's status, or the class of its error."""
    return attempt.error if attempt.status is None else attempt.status
