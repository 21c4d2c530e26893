# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject

if TYPE_CHECKING:
    from ..models.plugin_release import PluginRelease


@_attrs_define
class PluginReleasePage(OpenObject["Any"]):
    """A page of releases.

    Attributes:
        count (int): The number of releases on all pages.
        next_ (None | str): Address of the next page, absolute or relative; `null` on the last.
        previous (None | str): Address of the previous page; `null` on the first.
        results (list[PluginRelease]):
    """

    count: int
    next_: None | str
    previous: None | str
    results: list[PluginRelease]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        count = self.count

        next_ = self.next_

        previous = self.previous

        results = []
        for results_item_data in self.results:
            results_item = results_item_data.to_dict()
            results.append(results_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "count": count,
                "next": next_,
                "previous": previous,
                "results": results,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.plugin_release import PluginRelease  # noqa: PLC0415

        d = dict(src_dict)
        count = d.pop("count")

        next_ = cast(None | str, d.pop("next"))

        previous = cast(None | str, d.pop("previous"))

        results = []
        _results = d.pop("results")
        for results_item_data in _results:
            results_item = PluginRelease.from_dict(results_item_data)

            results.append(results_item)

        plugin_release_page = cls(
            count=count,
            next_=next_,
            previous=previous,
            results=results,
        )

        plugin_release_page.additional_properties = d
        return plugin_release_page
