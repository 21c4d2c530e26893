# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.action_params import ActionParams


@_attrs_define
class RunRequest(OpenObject["Any"]):
    """The action to run, and its parameters.

    Attributes:
        action (str): Name of the action, as in the plugin's `config.yaml`.
        params (ActionParams | Unset): The action's parameters, by name. The agent also reads three of them, and passes
            them on like the others:
            `num_cpus`, `num_gpus` (less than 1 is a share of a GPU) and `memory` (bytes, or text such as `2GiB`) reserve
            resources for the run. They take precedence over `actions.<name>.resources` in the plugin's `config.yaml`;
            without either, a run has one CPU. The agent ignores a value that is not an amount.
        requirements (list[str] | Unset): Requirements (PEP 508 names and versions) that this run needs in addition to
            the plugin's own.
        job_id (str | Unset): An ID for a run, of the caller's choice; not `.` or `..`, no control characters.
        language (str | Unset): Language of the action's messages, as an ISO 639-1 code such as `en` or `ko`.
        priority (int | Unset): Of the waiting runs of a release, those of higher priority start first; 0 if absent. 422
            above the agent's
            highest.
    """

    action: str
    params: ActionParams | Unset = UNSET
    requirements: list[str] | Unset = UNSET
    job_id: str | Unset = UNSET
    language: str | Unset = UNSET
    priority: int | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        action = self.action

        params: dict[str, Any] | Unset = UNSET
        if not isinstance(self.params, Unset):
            params = self.params.to_dict()

        requirements: list[str] | Unset = UNSET
        if not isinstance(self.requirements, Unset):
            requirements = self.requirements

        job_id = self.job_id

        language = self.language

        priority = self.priority

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "action": action,
            }
        )
        if params is not UNSET:
            field_dict["params"] = params
        if requirements is not UNSET:
            field_dict["requirements"] = requirements
        if job_id is not UNSET:
            field_dict["job_id"] = job_id
        if language is not UNSET:
            field_dict["language"] = language
        if priority is not UNSET:
            field_dict["priority"] = priority

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.action_params import ActionParams  # noqa: PLC0415

        d = dict(src_dict)
        action = d.pop("action")

        _params = d.pop("params", UNSET)
        params: ActionParams | Unset
        if isinstance(_params, Unset):
            params = UNSET
        else:
            params = ActionParams.from_dict(_params)

        requirements = cast(list[str], d.pop("requirements", UNSET))

        job_id = d.pop("job_id", UNSET)

        language = d.pop("language", UNSET)

        priority = d.pop("priority", UNSET)

        run_request = cls(
            action=action,
            params=params,
            requirements=requirements,
            job_id=job_id,
            language=language,
            priority=priority,
        )

        run_request.additional_properties = d
        return run_request
