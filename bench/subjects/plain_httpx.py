"""httpx as its users write it, with `json`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial

import httpx
from subjects.facade import Run, check, repeat
from subjects.payload import HUNDRED_PAGES, HUNDRED_THOUSAND, RELEASE, RUN, RUN_BIG, TOKEN, records
from subjects.tasks import in_flight

HEADERS = {"Authorization": TOKEN}
JSON = {"Content-Type": "application/json"}


def with_client(measured: Callable[[httpx.Client, str], Callable[[], object]]) -> Callable[[str], Run]:
    """Return a scenario for a client that is connected."""

    def prepare(url: str) -> Run:
        client = httpx.Client(headers=HEADERS)
        client.get(url + RELEASE)
        return repeat(measured(client, url))

    return prepare


def get(client: httpx.Client, url: str) -> Callable[[], object]:
    """Get a release."""
    address = url + RELEASE
    return lambda: client.get(address).json()


async def opened(url: str) -> Callable[[], Awaitable[object]]:
    """Return a function that gets a release; it keeps a hundred connections, like our client."""
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
    client, address = httpx.AsyncClient(headers=HEADERS, limits=limits), url + RELEASE

    async def call() -> object:
        return (await client.get(address)).json()

    return call


def pages(client: httpx.Client, url: str, query: dict[str, str]) -> int:
    """Follow `next`; return how many releases there were."""
    count, address = 0, str(httpx.URL(url + "/plugin_releases/", params=query))
    while address:
        page = client.get(address).json()
        count, address = count + len(page["results"]), page["next"]
    return count


def params(client: httpx.Client, url: str) -> Callable[[], object]:
    """Run with ten megabytes of params."""
    sent = {"records": records()}

    def call() -> object:
        body = json.dumps({"action": "train", "params": sent})
        return client.post(url + RUN, content=body, headers=JSON, timeout=None).json()

    return call


def result(client: httpx.Client, url: str) -> Callable[[], object]:
    """Run for a result of ten megabytes."""

    def call() -> None:
        response = client.post(url + RUN_BIG, content='{"action": "train"}', headers=JSON, timeout=None)
        check(len(json.loads(response.content)), 52_000)

    return call


SCENARIOS = {
    "get": with_client(get),
    "async_1": lambda url: in_flight(1, partial(opened, url)),
    "async_50": lambda url: in_flight(50, partial(opened, url)),
    "async_100": lambda url: in_flight(100, partial(opened, url)),
    "list_all": with_client(lambda client, url: lambda: check(pages(client, url, HUNDRED_PAGES), 10_000)),
    "iterate": with_client(lambda client, url: lambda: check(pages(client, url, HUNDRED_THOUSAND), 100_000)),
    "params": with_client(params),
    "result": with_client(result),
}
