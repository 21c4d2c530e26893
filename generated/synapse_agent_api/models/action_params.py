# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class ActionParams(OpenObject["Any"]):
    """The parameters that the action is called with, by name.

    The agent reads three of them as well, and passes them on like the others: `num_cpus`, `num_gpus` (less than 1 is
    a share of one) and `memory` (bytes, or a text such as `2GiB`) are what the run needs of its machine for itself.
    They take precedence over the plugin's `config.yaml`, under `actions.<name>.resources`; without
    either a run has one CPU. A value that is no amount counts for nothing here.

    """

    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        action_params = cls()

        action_params.additional_properties = d
        return action_params
