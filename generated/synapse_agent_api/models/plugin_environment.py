# By `make generate`. Don't edit.

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset


@_attrs_define
class PluginEnvironment(OpenObject["Any"]):
    """An environment of plugins.

    Attributes:
        id (str):
        size (int): Bytes of all its files.
        python (None | str | Unset): The version of its Python.
        requirements (list[str] | None | Unset):
        last_used (datetime.datetime | Unset):
        in_use (bool | Unset):
        usable (bool | Unset): Whether its Python still exists.
    """

    id: str
    size: int
    python: None | str | Unset = UNSET
    requirements: list[str] | None | Unset = UNSET
    last_used: datetime.datetime | Unset = UNSET
    in_use: bool | Unset = UNSET
    usable: bool | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        size = self.size

        python = self.python

        requirements: list[str] | None | Unset
        if isinstance(self.requirements, Unset):
            requirements = UNSET
        elif isinstance(self.requirements, list):
            requirements = self.requirements

        else:
            requirements = self.requirements

        last_used: str | Unset = UNSET
        if not isinstance(self.last_used, Unset):
            last_used = self.last_used.isoformat()

        in_use = self.in_use

        usable = self.usable

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "size": size,
            }
        )
        if python is not UNSET:
            field_dict["python"] = python
        if requirements is not UNSET:
            field_dict["requirements"] = requirements
        if last_used is not UNSET:
            field_dict["last_used"] = last_used
        if in_use is not UNSET:
            field_dict["in_use"] = in_use
        if usable is not UNSET:
            field_dict["usable"] = usable

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        id = d.pop("id")

        size = d.pop("size")

        python = cast(None | str | Unset, d.pop("python", UNSET))

        def _parse_requirements(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                requirements_type_0 = cast(list[str], data)

                return requirements_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        requirements = _parse_requirements(d.pop("requirements", UNSET))

        _last_used = d.pop("last_used", UNSET)
        last_used: datetime.datetime | Unset
        if isinstance(_last_used, Unset):
            last_used = UNSET
        else:
            last_used = datetime.datetime.fromisoformat(_last_used)

        in_use = d.pop("in_use", UNSET)

        usable = d.pop("usable", UNSET)

        plugin_environment = cls(
            id=id,
            size=size,
            python=python,
            requirements=requirements,
            last_used=last_used,
            in_use=in_use,
            usable=usable,
        )

        plugin_environment.additional_properties = d
        return plugin_environment
