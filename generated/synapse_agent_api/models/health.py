# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.sandbox import Sandbox
    from ..models.warm_processes import WarmProcesses


@_attrs_define
class Health(OpenObject["Any"]):
    """The state of the agent.

    Attributes:
        status (str): `ok` when the agent can work.
        version (str | Unset): The agent's own version.
        features (list[str] | Unset): Optional features, as in `Synapse-Agent-Features`.
        running (int | Unset): Runs in progress.
        waiting (int | Unset): Runs that wait for their environment or for a slot.
        capacity (int | Unset): The number of concurrent runs that the agent allows.
        uptime (float | Unset): Seconds since the agent's start.
        sandbox (Sandbox | Unset): The mechanism that restricts actions to writing into their own folder.
        warm (WarmProcesses | Unset): The processes that the agent keeps ready for runs. Absent if they are on other
            machines.
    """

    status: str
    version: str | Unset = UNSET
    features: list[str] | Unset = UNSET
    running: int | Unset = UNSET
    waiting: int | Unset = UNSET
    capacity: int | Unset = UNSET
    uptime: float | Unset = UNSET
    sandbox: Sandbox | Unset = UNSET
    warm: WarmProcesses | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        status = self.status

        version = self.version

        features: list[str] | Unset = UNSET
        if not isinstance(self.features, Unset):
            features = self.features

        running = self.running

        waiting = self.waiting

        capacity = self.capacity

        uptime = self.uptime

        sandbox: dict[str, Any] | Unset = UNSET
        if not isinstance(self.sandbox, Unset):
            sandbox = self.sandbox.to_dict()

        warm: dict[str, Any] | Unset = UNSET
        if not isinstance(self.warm, Unset):
            warm = self.warm.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
            }
        )
        if version is not UNSET:
            field_dict["version"] = version
        if features is not UNSET:
            field_dict["features"] = features
        if running is not UNSET:
            field_dict["running"] = running
        if waiting is not UNSET:
            field_dict["waiting"] = waiting
        if capacity is not UNSET:
            field_dict["capacity"] = capacity
        if uptime is not UNSET:
            field_dict["uptime"] = uptime
        if sandbox is not UNSET:
            field_dict["sandbox"] = sandbox
        if warm is not UNSET:
            field_dict["warm"] = warm

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.sandbox import Sandbox  # noqa: PLC0415
        from ..models.warm_processes import WarmProcesses  # noqa: PLC0415

        d = dict(src_dict)
        status = d.pop("status")

        version = d.pop("version", UNSET)

        features = cast(list[str], d.pop("features", UNSET))

        running = d.pop("running", UNSET)

        waiting = d.pop("waiting", UNSET)

        capacity = d.pop("capacity", UNSET)

        uptime = d.pop("uptime", UNSET)

        _sandbox = d.pop("sandbox", UNSET)
        sandbox: Sandbox | Unset
        if isinstance(_sandbox, Unset):
            sandbox = UNSET
        else:
            sandbox = Sandbox.from_dict(_sandbox)

        _warm = d.pop("warm", UNSET)
        warm: WarmProcesses | Unset
        if isinstance(_warm, Unset):
            warm = UNSET
        else:
            warm = WarmProcesses.from_dict(_warm)

        health = cls(
            status=status,
            version=version,
            features=features,
            running=running,
            waiting=waiting,
            capacity=capacity,
            uptime=uptime,
            sandbox=sandbox,
            warm=warm,
        )

        health.additional_properties = d
        return health
