# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class ActionParams(OpenObject["Any"]):
    """The action's parameters, by name. The agent also reads three of them, and passes them on like the others:
    `num_cpus`, `num_gpus` (less than 1 is a share of a GPU) and `memory` (bytes, or text such as `2GiB`) reserve
    resources for the run. They take precedence over `actions.<name>.resources` in the plugin's `config.yaml`;
    without either, a run has one CPU. The agent ignores a value that is not an amount.

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
