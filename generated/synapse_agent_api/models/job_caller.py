# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset


@_attrs_define
class JobCaller(OpenObject["Any"]):
    """The origin of a run; `null` if the agent does not know.

    Attributes:
        token (None | str | Unset): The name of the token, `null` if the agent takes requests without one.
        address (None | str | Unset): The address that the request came from.
        user_agent (None | str | Unset):
        request_id (str | Unset): The `X-Request-ID` of the answer.
    """

    token: None | str | Unset = UNSET
    address: None | str | Unset = UNSET
    user_agent: None | str | Unset = UNSET
    request_id: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:

        token = self.token

        address = self.address

        user_agent = self.user_agent

        request_id = self.request_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if token is not UNSET:
            field_dict["token"] = token
        if address is not UNSET:
            field_dict["address"] = address
        if user_agent is not UNSET:
            field_dict["user_agent"] = user_agent
        if request_id is not UNSET:
            field_dict["request_id"] = request_id

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        token = cast(None | str | Unset, d.pop("token", UNSET))

        address = cast(None | str | Unset, d.pop("address", UNSET))

        user_agent = cast(None | str | Unset, d.pop("user_agent", UNSET))

        request_id = d.pop("request_id", UNSET)

        job_caller = cls(
            token=token,
            address=address,
            user_agent=user_agent,
            request_id=request_id,
        )

        job_caller.additional_properties = d
        return job_caller
