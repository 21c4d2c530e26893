"""The documented calls, which ours and the public client have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from subjects.payload import HUNDRED_PAGES, HUNDRED_THOUSAND, records

LOOKUP = "my_plugin@1.0.0"

Run = Callable[[int], None]


def scenarios(
    make_client: Callable[[str], Any], iterate: Callable[[Any, dict[str, str]], Iterable[Any]]
) -> dict[str, Callable[[str], Run]]:
    """Return the scenarios for a kind of client, and for its way to iterate over a long list."""

    def with_client(measured: Callable[[Any], Callable[[], object]]) -> Callable[[str], Run]:
        def prepare(url: str) -> Run:
            client = make_client(url)
            client.get_plugin_release(LOOKUP)
            return repeat(measured(client))

        return prepare

    return {
        "get": with_client(lambda client: lambda: client.get_plugin_release(LOOKUP)),
        "list_all": with_client(list_all),
        "iterate": with_client(lambda client: lambda: check(count(iterate(client, HUNDRED_THOUSAND)), 100_000)),
        "params": with_client(params),
        "result": with_client(lambda client: lambda: check(len(client.run_plugin_release("big@1", "train")), 52_000)),
    }


def repeat(call: Callable[[], object]) -> Run:
    """Return a function that makes a call a number of times."""

    def run(times: int) -> None:
        for _ in range(times):
            call()

    return run


def list_all(client: Any) -> Callable[[], object]:
    """List ten thousand releases; the public client returns an iterator of them."""

    def call() -> None:
        releases, total = client.list_plugin_releases(HUNDRED_PAGES, list_all=True)
        check(len(list(releases)), total)

    return call


def params(client: Any) -> Callable[[], object]:
    """Run with ten megabytes of params."""
    sent = {"records": records()}
    return lambda: client.run_plugin_release(LOOKUP, "train", params=sent)


def count(releases: Iterable[Any]) -> int:
    """Count them without keeping them."""
    return sum(1 for _ in releases)


def check(found: int, expected: int) -> None:
    """Check that the work was done."""
    assert found == expected, f"{found} instead of {expected}"
