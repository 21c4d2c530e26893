# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset


@_attrs_define
class InvalidItem(OpenObject["Any"]):
    """A part of a request that does not match its schema.

    Attributes:
        loc (list[int | str]): Its path, starting with `body`, `query`, `path` or `header`.
        msg (str): The problem, for people.
        type_ (str): The kind of problem, for programs.
        input_ (Any | Unset): The invalid value.
    """

    loc: list[int | str]
    msg: str
    type_: str
    input_: Any | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        loc = []
        for loc_item_data in self.loc:
            loc_item = loc_item_data
            loc.append(loc_item)

        msg = self.msg

        type_ = self.type_

        input_ = self.input_

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "loc": loc,
                "msg": msg,
                "type": type_,
            }
        )
        if input_ is not UNSET:
            field_dict["input"] = input_

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        loc = []
        _loc = d.pop("loc")
        for loc_item_data in _loc:
            loc_item = cast(int | str, loc_item_data)

            loc.append(loc_item)

        msg = d.pop("msg")

        type_ = d.pop("type")

        input_ = d.pop("input", UNSET)

        invalid_item = cls(
            loc=loc,
            msg=msg,
            type_=type_,
            input_=input_,
        )

        invalid_item.additional_properties = d
        return invalid_item
