"""What is measured. A row is a figure, the way to measure it, and its goal."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.environments import Environment
from bench.imports import import_times
from bench.workers import fresh, interleaved

Unit = Literal["µs", "ms", "s", "MB", "/s", ""]
Values = dict[str, float]

HOMES = {
    "ours": "client",
    "plain_httpx": "client",
    "plain_requests": "peers",
    "plain_httpcore": "peers",
    "plain_urllib3": "peers",
    "plain_aiohttp": "peers",
    "plain_pyreqwest": "peers",
    "plain_niquests": "niquests",
    "http_client": "client",
    "raw_socket": "client",
    "generated": "client",
    "public_sdk": "public",
}
"""The environment of each subject."""


@dataclass(frozen=True)
class Row:
    """One measurement of all subjects that support it."""

    name: str
    unit: Unit
    measure: Callable[[Mapping[str, Environment], str], Values]
    """Returns the medians by subject; its arguments are the environments and the server's address."""
    ratios: Mapping[str, float] = field(default_factory=dict)
    """Upper limits for the ratio of our figure to a peer's."""
    limit: float | None = None
    """Upper limit for our figure, in the row's unit."""
    more_is_better: bool = False
    """Whether the limits are lower ones instead."""


def calls(scenario: str, subjects: str, *, unit: Unit, times: int, rounds: int) -> Callable[..., Values]:
    """Return the measure of one call's time, each process making many."""
    scale = 1e6 if unit == "µs" else 1e3

    def measure(environments: Mapping[str, Environment], url: str) -> Values:
        measured = interleaved(pythons(subjects, environments), scenario, url, times=times, rounds=rounds)
        return {name: statistics.median(each.seconds for each in all_of) * scale for name, all_of in measured.items()}

    return measure


def peaks(scenario: str, subjects: str, *, rounds: int) -> Callable[..., Values]:
    """Return the measure of the memory that the first call of a process adds."""

    def measure(environments: Mapping[str, Environment], url: str) -> Values:
        measured = fresh(pythons(subjects, environments), scenario, url, rounds=rounds)
        return {name: statistics.median(each.peak for each in all_of) / 1e6 for name, all_of in measured.items()}

    return measure


def imports(statements: Mapping[str, str], *, compiled: bool, rounds: int) -> Callable[..., Values]:
    """Return the measure of statements that import."""

    def measure(environments: Mapping[str, Environment], _: str) -> Values:
        known = {
            name: (environments[HOMES[name]], statement)
            for name, statement in statements.items()
            if HOMES[name] in environments
        }
        measured = import_times(known, compiled=compiled, rounds=rounds)
        return {name: statistics.median(seconds) * 1e3 for name, seconds in measured.items()}

    return measure


def installed(what: Callable[[Environment], float]) -> Callable[..., Values]:
    """Return the measure of the packages that our client and the public one install."""

    def measure(environments: Mapping[str, Environment], _: str) -> Values:
        homes = {"ours": "client", "public_sdk": "public"}
        return {name: what(environments[home]) for name, home in homes.items() if home in environments}

    return measure


def pythons(subjects: str, environments: Mapping[str, Environment]) -> dict[str, Path]:
    """Return the interpreters of the subjects that have an environment."""
    return {name: environments[HOMES[name]].python for name in subjects.split() if HOMES[name] in environments}


_IMPORTS = {
    "ours": "import synapse_sdk.clients.agent",
    "plain_httpx": "import httpx",
    "plain_requests": "import requests",
    "public_sdk": "import synapse_sdk.clients.agent",
}
_FIRST_CLIENT = {
    "ours": "from synapse_sdk.clients.agent import AgentClient; AgentClient('http://127.0.0.1:1', 't')",
    "plain_httpx": "import httpx; httpx.Client()",
    "plain_requests": "import requests; requests.Session()",
    "public_sdk": "from synapse_sdk.clients.agent import AgentClient; AgentClient('http://127.0.0.1:1', 't')",
}
_IMPORT_RATIOS = {"public_sdk": 0.25, "plain_httpx": 1.25}
_ASYNC = "ours plain_httpx generated plain_httpcore plain_aiohttp plain_pyreqwest plain_niquests"
_BIG = "ours plain_httpx public_sdk"

ROWS = [
    Row("installed", "MB", installed(lambda home: home.size() / 1e6), limit=15),
    Row("distributions", "", installed(lambda home: len(home.distributions())), limit=10),
    Row("import, not compiled", "ms", imports(_IMPORTS, compiled=False, rounds=11), _IMPORT_RATIOS),
    Row("import, compiled", "ms", imports(_IMPORTS, compiled=True, rounds=21), _IMPORT_RATIOS),
    Row("import and a first client, compiled", "ms", imports(_FIRST_CLIENT, compiled=True, rounds=11)),
    Row(
        "get_plugin_release",
        "µs",
        calls("get", " ".join(name for name in HOMES if name != "plain_aiohttp"), unit="µs", times=200, rounds=15),
        {"public_sdk": 0.3, "plain_httpx": 0.4},
    ),
    Row(
        "the same, async, 1 in flight",
        "µs",
        calls("async_1", _ASYNC, unit="µs", times=200, rounds=15),
        {"plain_httpx": 0.2},
    ),
    Row(
        "the same, async, 50 in flight",
        "µs",
        calls("async_50", _ASYNC, unit="µs", times=300, rounds=11),
        {"plain_httpx": 0.12},
    ),
    Row(
        "the same, async, 100 in flight",
        "µs",
        calls("async_100", "ours plain_httpx generated", unit="µs", times=300, rounds=11),
        {"plain_httpx": 0.35},
    ),
    Row(
        "list_all, 10,000 by 100, 10 ms a page",
        "ms",
        calls("list_all", _BIG, unit="ms", times=1, rounds=9),
        {"public_sdk": 0.3},
    ),
    Row("iterate over 100,000", "ms", calls("iterate", _BIG, unit="ms", times=1, rounds=5)),
    Row("iterate over 100,000, peak memory", "MB", peaks("iterate", _BIG, rounds=5), limit=10),
    Row(
        "10 MB of params",
        "ms",
        calls("params", _BIG, unit="ms", times=1, rounds=21),
        {"plain_httpx": 1.1},
    ),
    Row("10 MB of params, peak memory", "MB", peaks("params", _BIG, rounds=5), {"plain_httpx": 1.1}),
    Row(
        "10 MB of result",
        "ms",
        calls("result", _BIG, unit="ms", times=1, rounds=21),
        {"plain_httpx": 1.1},
    ),
    Row("10 MB of result, peak memory", "MB", peaks("result", _BIG, rounds=5), {"plain_httpx": 1.1}),
]
