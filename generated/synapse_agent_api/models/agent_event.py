# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.job import Job


@_attrs_define
class AgentEvent(OpenObject["Any"]):
    """The data of a server-sent event about an agent.

    Attributes:
        type_ (str): The kind of change; see `stream_events`.
        what (str | Unset): The change, such as `created` or `deleted`.
        job (Job | Unset): The record of a run.
        release (str | Unset): `code@version`.
        environment (str | Unset): Its ID.
        agent (str | Unset): The agent's version.
    """

    type_: str
    what: str | Unset = UNSET
    job: Job | Unset = UNSET
    job_id: str | Unset = UNSET
    release: str | Unset = UNSET
    environment: str | Unset = UNSET
    agent: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        what = self.what

        job: dict[str, Any] | Unset = UNSET
        if not isinstance(self.job, Unset):
            job = self.job.to_dict()

        job_id = self.job_id

        release = self.release

        environment = self.environment

        agent = self.agent

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
            }
        )
        if what is not UNSET:
            field_dict["what"] = what
        if job is not UNSET:
            field_dict["job"] = job
        if job_id is not UNSET:
            field_dict["job_id"] = job_id
        if release is not UNSET:
            field_dict["release"] = release
        if environment is not UNSET:
            field_dict["environment"] = environment
        if agent is not UNSET:
            field_dict["agent"] = agent

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.job import Job  # noqa: PLC0415

        d = dict(src_dict)
        type_ = d.pop("type")

        what = d.pop("what", UNSET)

        _job = d.pop("job", UNSET)
        job: Job | Unset
        if isinstance(_job, Unset):
            job = UNSET
        else:
            job = Job.from_dict(_job)

        job_id = d.pop("job_id", UNSET)

        release = d.pop("release", UNSET)

        environment = d.pop("environment", UNSET)

        agent = d.pop("agent", UNSET)

        agent_event = cls(
            type_=type_,
            what=what,
            job=job,
            job_id=job_id,
            release=release,
            environment=environment,
            agent=agent,
        )

        agent_event.additional_properties = d
        return agent_event
