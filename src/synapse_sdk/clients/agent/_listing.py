"""Walk through a list page by page. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapse_sdk.clients.agent import _calls
from synapse_sdk.exceptions import ResponseParseError

if TYPE_CHECKING:
    from synapse_agent_api.typed_dicts import PluginRelease
    from synapse_sdk.clients.agent._session import Steps


def all_releases(params: Mapping[str, Any] | None) -> Steps[tuple[list[PluginRelease], int]]:
    """Follow `next` to the last page; return all releases and the count that the last page gave."""
    call = _calls.list_plugin_releases(params)
    seen = {call.target}
    releases: list[PluginRelease] = []
    while True:
        page = yield call
        results, link, count = _parts(page)
        releases += results
        if link is None:
            return releases, count
        call = _calls.next_page(link)
        if call.target in seen:
            raise ResponseParseError(f"The list goes in circles: its next page {call.target} was there already.")
        seen.add(call.target)


def _parts(page: Mapping[str, Any]) -> tuple[list[PluginRelease], str | None, int]:
    results, link, count = page.get("results"), page.get("next"), page.get("count")
    if not isinstance(results, list):
        raise ResponseParseError(f"A page of releases holds no list of 'results', but {sorted(page)}.")
    if link is not None and not isinstance(link, str):
        raise ResponseParseError(f"A page's 'next' is neither text nor null, but {link!r}.")
    if isinstance(count, bool) or not isinstance(count, int):
        raise ResponseParseError(f"A page's 'count' is no integer, but {count!r}.")
    return results, link, count
