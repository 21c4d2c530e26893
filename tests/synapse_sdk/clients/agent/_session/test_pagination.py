"""All pages of a list, concurrently if that is safe."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from synapse_agent_api.http_library import httpx
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.clients.agent._session import pagination


class Agent:
    """Pages of numbered releases; records the requested pages, and how many were requested at a time."""

    def __init__(self, total: int, page_size: int = 10) -> None:
        self.total = total
        self.page_size = page_size
        self.asked: list[int] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.barrier: threading.Barrier | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("page", 1))
        with self.lock:
            self.asked.append(number)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        if self.barrier is not None and number > 1:
            self.barrier.wait(5)
        with self.lock:
            self.at_once -= 1
        return self.page(number)

    def page(self, number: int) -> httpx.Response:
        ids = range((number - 1) * self.page_size, min(number * self.page_size, self.total))
        if not ids and number > 1:
            return httpx.Response(404, json={"detail": "Invalid page."})
        link = f"/plugin_releases/?page={number + 1}" if number * self.page_size < self.total else None
        return httpx.Response(200, json=body([{"id": item} for item in ids], link, self.total))


def body(results: list[Any], link: str | None, count: int) -> dict[str, Any]:
    return {"count": count, "next": link, "previous": None, "results": results}


def ids(releases: list[Any]) -> list[int]:
    return [release["id"] for release in releases]


@pytest.mark.parametrize("total", [0, 1, 9, 10, 11, 20, 21, 95, 400])
def test_all_pages_come_in_order_each_asked_for_once(answering: Callable[..., Any], total: int) -> None:
    """Each page is fetched once, and the order is the agent's."""
    agent = Agent(total)
    releases, count = answering(agent).list_plugin_releases(list_all=True)
    assert ids(releases) == list(range(total))
    assert count == total
    assert sorted(agent.asked) == list(range(1, max(1, -(-total // 10)) + 1))


def test_pages_are_fetched_side_by_side_but_no_more_than_allowed() -> None:
    """With max_concurrency=3, at most three requests are in progress."""
    agent = Agent(70)
    agent.barrier = threading.Barrier(3)
    with AgentClient("http://agent.test", transport=httpx.MockTransport(agent)) as client:
        releases, _ = client.list_plugin_releases(list_all=True, max_concurrency=3)
    assert ids(releases) == list(range(70))
    assert agent.most_at_once == 3


@pytest.mark.parametrize("value", [0, -1])
def test_fewer_than_one_at_a_time_is_refused(recording: Callable[..., Any], value: int) -> None:
    """The error names the argument and its value."""
    facade, sent = recording()
    with pytest.raises(ValueError, match=f"max_concurrency must be 1 or more, not {value}"):
        facade.list_plugin_releases(list_all=True, max_concurrency=value)
    assert sent == []


def test_pages_shorter_than_the_first_are_followed_by_next(answering: Callable[..., Any]) -> None:
    """The client follows `next`, although `count` announced fewer pages."""

    class Short(Agent):
        def page(self, number: int) -> httpx.Response:
            results = [{"id": number * 10 + item} for item in range(3 if number == 1 else 1)]
            return httpx.Response(200, json=body(results, f"?page={number + 1}" if number < 9 else None, 11))

    agent = Short(0)
    releases, count = answering(agent).list_plugin_releases(list_all=True)
    assert ids(releases) == [10, 11, 12, *range(20, 100, 10)]
    assert count == 11
    assert sorted(set(agent.asked)) == list(range(1, 10))


def test_a_count_that_promises_too_much_does_no_harm(answering: Callable[..., Any]) -> None:
    """Pages that were requested ahead and don't exist cause no error if `next` ends before them."""

    class Boastful(Agent):
        def page(self, number: int) -> httpx.Response:
            response = super().page(number)
            if response.status_code == 200:
                return httpx.Response(200, json={**response.json(), "count": 1000})
            return response

    releases, count = answering(Boastful(25)).list_plugin_releases(list_all=True)
    assert ids(releases) == list(range(25))
    assert count == 1000


def test_a_page_that_fails_fails_the_list(answering: Callable[..., Any]) -> None:
    """The list raises the agent's own error, not a group of errors."""

    class Failing(Agent):
        def page(self, number: int) -> httpx.Response:
            return httpx.Response(500, json={"detail": "page 4"}) if number == 4 else super().page(number)

    with pytest.raises(exceptions.ServerError, match="page 4"):
        answering(Failing(95)).list_plugin_releases(list_all=True)


def test_cursors_are_followed_one_by_one(answering: Callable[..., Any]) -> None:
    """If pages are not numbered, each is requested with the link of the previous one."""
    links = {None: "b", "b": "c", "c": None}
    asked: list[str | None] = []

    def pages(request: httpx.Request) -> httpx.Response:
        cursor = request.url.params.get("cursor")
        asked.append(cursor)
        link = links[cursor]
        return httpx.Response(200, json=body([{"id": len(asked)}], f"?cursor={link}" if link else None, 300))

    releases, _ = answering(pages).list_plugin_releases(list_all=True)
    assert ids(releases) == [1, 2, 3]
    assert asked == [None, "b", "c"]


def collect(facade: Any, *args: Any) -> list[Any]:
    """Return all that either client's iterator yields."""
    iterator: Iterator[Any] | AsyncIterator[Any] = facade.client.iter_plugin_releases(*args)
    if isinstance(iterator, Iterator):
        return list(iterator)

    async def take() -> list[Any]:
        return [release async for release in iterator]

    result: list[Any] = facade.finish(take())
    return result


def test_iterating_takes_one_page_at_a_time(answering: Callable[..., Any]) -> None:
    """Releases are yielded in order, and filters are sent."""
    agent = Agent(35)
    assert ids(collect(answering(agent), {"plugin": "p"})) == list(range(35))
    assert agent.asked == [1, 2, 3, 4]


def test_iterating_asks_for_nothing_ahead() -> None:
    """Stopping after the first release costs the agent one page."""
    agent = Agent(35)
    with AgentClient("http://agent.test", transport=httpx.MockTransport(agent)) as client:
        releases = client.iter_plugin_releases()
        assert agent.asked == []
        assert next(releases)["id"] == 0
    assert agent.asked == [1]


def test_bad_filters_are_refused_before_iterating(recording: Callable[..., Any]) -> None:
    """The call raises the error, not the first iteration."""
    facade, sent = recording()
    with pytest.raises(TypeError, match="params must be a mapping"):
        facade.client.iter_plugin_releases("page=1")
    assert sent == []


def test_an_iteration_that_goes_in_circles_is_an_error(answering: Callable[..., Any]) -> None:
    """A repeated `next` does not cause an endless loop."""
    page = body([{"id": 1}], "?page=1", 2)
    with pytest.raises(exceptions.ResponseParseError, match="circular"):
        collect(answering(lambda _: httpx.Response(200, json=page)), {"page": 1})


def endless(results: list[Any]) -> Callable[[httpx.Request], httpx.Response]:
    """Return a handler whose pages always have a `next`."""

    def handle(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("page", 1))
        return httpx.Response(200, json=body(results, f"?page={number + 1}", len(results)))

    return handle


def test_pages_without_releases_end(answering: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that returns endless pages, empty or not, does not keep its caller forever."""
    with pytest.raises(exceptions.ResponseParseError, match="does not end: 101 pages in a row have no release"):
        answering(endless([])).list_plugin_releases(list_all=True)
    monkeypatch.setattr(pagination, "MOST_PAGES", 500)
    with pytest.raises(exceptions.ResponseParseError, match="does not end: it has more than 500 pages"):
        answering(endless([{"id": 1}])).list_plugin_releases(list_all=True)


def test_a_deadline_is_for_all_pages(answering: Callable[..., Any]) -> None:
    """The deadline is not one for each page."""
    with pytest.raises(exceptions.ClientTimeoutError):
        answering(endless([{"id": 1}]), deadline=0.3).list_plugin_releases(list_all=True)
