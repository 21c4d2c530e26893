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
from cases import Case, ExpectedCall, check_range, check_requests, expand, header_problem, is_same, load
from faults import FaultServer

from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent._exchange import Chance
from synapse_sdk.clients.agent._session import AsyncSession, Session
from synapse_sdk.exceptions import Attempt, ClientError

CASES = load()
ENVIRONMENT = ("SYNAPSE_AGENT_TOKEN", "SYNAPSE_USER_TOKEN", "SYNAPSE_TENANT", "HTTP_PROXY", "http_proxy", "ALL_PROXY")


class Player:
    """Makes a case's calls with a client that does not really wait, but believes that it has."""

    def __init__(self, server: FaultServer, case: Case) -> None:
        self.waits: list[float] = []
        options = {**case.client, "on_request": lambda _: server.expect_request()}
        self._address = server.base_url + options.pop("base_path", "")
        self._options = {
            {"token": "access_token"}.get(name, name): tuple(value) if isinstance(value, list) else value
            for name, value in options.items()
        }
        self._chance = Chance(clock=lambda: time.monotonic() + sum(self.waits), uniform=lambda _, longest: longest)

    def call(self, expected: ExpectedCall) -> Any:
        """Make a call and return its result."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the connections."""
        raise NotImplementedError


class SyncPlayer(Player):
    """Plays with `AgentClient`."""

    def __init__(self, server: FaultServer, case: Case) -> None:
        super().__init__(server, case)
        self._client = AgentClient(self._address, **self._options)
        given = self._client._session
        self._client._session = Session(given.config, given.transport, chance=self._chance, sleep=self.waits.append)

    def call(self, expected: ExpectedCall) -> Any:
        value = getattr(self._client, expected.method)(**expand(dict(expected.arguments)))
        return list(value) if isinstance(value, Iterator) else value

    def close(self) -> None:
        self._client.close()


class AsyncPlayer(Player):
    """Plays with `AsyncAgentClient`, on an event loop of its own."""

    def __init__(self, server: FaultServer, case: Case) -> None:
        super().__init__(server, case)
        self._client = AsyncAgentClient(self._address, **self._options)
        given = self._client._session
        self._client._session = AsyncSession(given.config, given.transport, chance=self._chance, sleep=self._sleep)
        self._runner = asyncio.Runner()

    def call(self, expected: ExpectedCall) -> Any:
        return self._runner.run(self._call(expected))

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    async def _call(self, expected: ExpectedCall) -> Any:
        value = getattr(self._client, expected.method)(**expand(dict(expected.arguments)))
        return await value if inspect.isawaitable(value) else [item async for item in value]

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.mark.parametrize("player_of", [SyncPlayer, AsyncPlayer])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(case: Case, player_of: type[Player], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client sends, waits, returns and raises is what the case says."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    with FaultServer(case.script()) as server:
        player = player_of(server, case)
        try:
            for expected in case.calls:
                check_call(player, server, expected)
        finally:
            player.close()
    check_requests(case, server.received)
    assert server.left == [], "not all of the script was played"


def test_the_corpus_is_large_and_its_names_are_its_own() -> None:
    """At least 80 cases are for every language, and each name is there once."""
    assert len([case for case in CASES if not case.python_only]) >= 80
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)
    assert all(case.why.endswith(".") and case.calls for case in CASES)


def check_call(player: Player, server: FaultServer, expected: ExpectedCall) -> None:
    """Make a call and compare how it ended with what the case says."""
    time.sleep(expected.pause)
    begun, waited = time.monotonic(), len(player.waits)
    result, error, warned = outcome_of(player, expected)
    seconds, waits = time.monotonic() - begun, player.waits[waited:]
    if expected.error is None:
        assert error is None, f"raised {error!r}"
        assert is_same(result, expand(expected.result)), f"returned {result!r}"
    else:
        assert error is not None, f"returned {result!r}"
        check_error(error, expected.error, server)
    assert len(waits) == len(expected.waits), f"waited {waits}, not {expected.waits}"
    for wait, bounds in zip(waits, expected.waits, strict=True):
        check_range(wait, bounds, "a wait")
    if expected.seconds is not None:
        check_range(seconds, expected.seconds, "the time of the call")
    assert [text for text in warned if expected.warns is None or expected.warns not in text] == []
    assert bool(warned) is bool(expected.warns)


def outcome_of(player: Player, expected: ExpectedCall) -> tuple[Any, Exception | None, list[str]]:
    """Return a call's result, or its error, and what it warned of."""
    result, error = None, None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", UserWarning)
        try:
            result = player.call(expected)
        except (ClientError, TypeError, ValueError) as raised:
            error = raised
    return result, error, [str(warning.message) for warning in caught]


def check_error(error: Exception, expected: Mapping[str, Any], server: FaultServer) -> None:
    """Compare an error with what a case says of it."""
    assert type(error).__name__ == expected["class"], repr(error)
    for text in expected.get("message_contains", []):
        assert text in str(error)
    assert len(str(error).splitlines()) == 1
    if isinstance(error, ClientError):
        check_facts(error, expected, server)
        assert getattr(exceptions, expected["class"]) is type(error)


def check_facts(error: ClientError, expected: Mapping[str, Any], server: FaultServer) -> None:
    """Compare what an error carries; what a case does not name may be anything."""
    assert error.outcome == expected["outcome"], repr(error)
    for name, value in expected.items():
        if name in ("status_code", "error_type", "request_id"):
            assert getattr(error, name) == value
        elif name == "detail":
            assert is_same(error.detail, expand(value)), error.detail
        elif name == "attempts":
            assert [attempt_of(attempt) for attempt in error.attempts] == value
        elif name == "retry_after":
            check_range(getattr(error, "retry_after", None), value, name)
        elif name == "fields":
            assert {key: getattr(error, key) for key in value} == value
        elif name == "idempotency_key":
            assert header_problem("Idempotency-Key", error.idempotency_key, value, server.received) is None
        else:
            assert name in ("class", "outcome", "message_contains"), f"a case knows no {name}"


def attempt_of(attempt: Attempt) -> int | str | None:
    """Return an attempt's status, or the class of what came instead of one."""
    return attempt.error if attempt.status is None else attempt.status
