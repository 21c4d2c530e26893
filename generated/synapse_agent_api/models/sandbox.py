# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset


@_attrs_define
class Sandbox(OpenObject["Any"]):
    """The mechanism that restricts actions to writing into their own folder.

    Attributes:
        status (str): `active` if it applies to every run, `off` if the operator turned it off, `unavailable` if the
            kernel does not
            support it.
        landlock_abi (int | Unset): The ABI version of the kernel's Landlock; 0 if it is not available.
        restricts (list[str] | Unset): What actions can't do or see: `write` (create, change, move or remove files),
            `ptrace` (inspect or change
            other processes), `truncate`, `device_ioctl`, `signal` (processes of others), `abstract_socket` (sockets of
            others), `attributes` (change modes, owners and times of files elsewhere), `temporary_files` and `ipc`
            (others' files in `/tmp`, `/var/tmp` and `/dev/shm`, and System V IPC), `memory` (use more than nine tenths of
            what the agent may use) and `processes` (start more than a limited number).
    """

    status: str
    landlock_abi: int | Unset = UNSET
    restricts: list[str] | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        status = self.status

        landlock_abi = self.landlock_abi

        restricts: list[str] | Unset = UNSET
        if not isinstance(self.restricts, Unset):
            restricts = self.restricts

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
            }
        )
        if landlock_abi is not UNSET:
            field_dict["landlock_abi"] = landlock_abi
        if restricts is not UNSET:
            field_dict["restricts"] = restricts

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        status = d.pop("status")

        landlock_abi = d.pop("landlock_abi", UNSET)

        restricts = cast(list[str], d.pop("restricts", UNSET))

        sandbox = cls(
            status=status,
            landlock_abi=landlock_abi,
            restricts=restricts,
        )

        sandbox.additional_properties = d
        return sandbox
