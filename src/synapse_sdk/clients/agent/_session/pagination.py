"""Iterate over a list page by page. No I/O here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._session.steps import Ask, Limit, Steps
from synapse_sdk.exceptions import ClientError, ResponseParseError

if TYPE_CHECKING:
    from synapse_agent_api.typed_dicts import PluginRelease
    from synapse_sdk.clients.agent._request.calls import Request

WINDOW = 32
"""Pages that are fetched together, before the list is checked again."""

MOST_PAGES = 100_000
MOST_EMPTY_PAGES = 100
"""Maximum number of pages without a release in a row: filters may leave a few empty."""


@dataclass(frozen=True, slots=True)
class Page:
    """A validated page of releases."""

    results: list[PluginRelease]
    count: int
    query: Mapping[str, Any] | None
    """The query of the next page; None on the last."""

    @property
    def next_number(self) -> int | None:
        """The next page's number, if pages are numbered."""
        numbers = (self.query or {}).get("page", [])
        return int(numbers[0]) if len(numbers) == 1 and re.fullmatch("[0-9]{1,9}", numbers[0]) else None


class Paginator:
    """Follows `next` from page to page. Only the query of a link is used, and no link may occur twice.

    Endless pages are an error, too: otherwise an agent could keep its caller forever.
    """

    def __init__(self, params: Mapping[str, Any] | None) -> None:
        self.next: Request | None = calls.list_plugin_releases(params)
        self._seen = {self.next.target}
        self._empty_pages = 0

    def take(self, value: Any) -> Page:
        """Check the page of the last call, and prepare the call for the next one."""
        page = _page(value)
        self.next = None if page.query is None else calls.list_plugin_releases(page.query)
        if self.next is not None:
            if self.next.target in self._seen:
                raise ResponseParseError(f"The list is circular: {self.next.target} occurs twice.")
            self._seen.add(self.next.target)
            self._check_end(page)
        return page

    def _check_end(self, page: Page) -> None:
        self._empty_pages = 0 if page.results else self._empty_pages + 1
        if self._empty_pages > MOST_EMPTY_PAGES:
            raise ResponseParseError(f"The list does not end: {self._empty_pages} pages in a row have no release.")
        if len(self._seen) > MOST_PAGES:
            raise ResponseParseError(f"The list does not end: it has more than {MOST_PAGES} pages.")


def all_releases(params: Mapping[str, Any] | None, limit: Limit) -> Steps[tuple[list[PluginRelease], int]]:
    """Return all releases, and the agent's count of them.

    If pages are numbered, those implied by the count are fetched concurrently. A page is used only if the previous
    page names it as its next, so that `next` always decides.
    """
    walk = Paginator(params)
    releases: list[PluginRelease] = []
    count = 0
    while walk.next is not None:
        page = walk.take((yield Ask(walk.next, limit.left())))
        releases += page.results
        count = page.count
        ahead = _ahead(page, missing=count - len(releases))
        values = (yield [Ask(request, limit.left()) for request in ahead]) if ahead else ()
        for request, value in zip(ahead, values, strict=True):
            if walk.next is None or walk.next.target != request.target:
                break
            if isinstance(value, ClientError):
                raise value
            page = walk.take(value)
            releases += page.results
            count = page.count
    return releases, count


def _ahead(page: Page, *, missing: int) -> list[Request]:
    """Return the calls for the following pages, as far as known; none if only one is left."""
    number, size = page.next_number, len(page.results)
    if number is None or page.query is None or missing <= size:
        return []
    expected = min(WINDOW, math.ceil(missing / max(size, 1)))
    return [calls.list_plugin_releases({**page.query, "page": [str(number + step)]}) for step in range(expected)]


def _page(value: Mapping[str, Any]) -> Page:
    results, link, count = value.get("results"), value.get("next"), value.get("count")
    if not isinstance(results, list):
        raise ResponseParseError(f"A page of releases has no list of 'results', but {sorted(value)}.")
    if link is not None and not isinstance(link, str):
        raise ResponseParseError(f"A page's 'next' is neither text nor null, but {link!r}.")
    if isinstance(count, bool) or not isinstance(count, int):
        raise ResponseParseError(f"A page's 'count' is not an integer, but {count!r}.")
    try:
        query = None if link is None else parse_qs(urlsplit(link).query, keep_blank_values=True)
    except ValueError as error:
        raise ResponseParseError(f"A page's 'next' is not an address, but {link!r}.") from error
    return Page(results, count, query)
