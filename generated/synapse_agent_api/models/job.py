# By `make generate`. Don't edit.

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.job_caller import JobCaller
    from ..models.job_event import JobEvent
    from ..models.job_params import JobParams
    from ..models.job_progress import JobProgress
    from ..models.job_timings_type_0 import JobTimingsType0
    from ..models.non_finite_numbers import NonFiniteNumbers


@_attrs_define
class Job(OpenObject["Any"]):
    """The record of a run.

    Attributes:
        job_id (str):
        release (None | str): `code@version` of the release, `null` for a debug run.
        action (str):
        method (str): The action's method. The caller may have requested a background run nevertheless.
        status (str): The job's state. The last three of the list are final; with any other, look at `finished_at`.
        created_at (datetime.datetime):
        started_at (datetime.datetime | None):
        finished_at (datetime.datetime | None):
        progress (JobProgress | None): The last progress that the action reported, `null` before that.
        error (Any): The `detail` of the error, as in an error answer; `null` unless the job failed or was stopped.
        idempotency_key (None | str): The request's idempotency key, if any.
        result (Any | Unset): The action's result, `null` until it has succeeded. NaN and infinities in it are `null`.
        nonfinite (NonFiniteNumbers | Unset): The places of NaN and infinities, which JSON does not have: they are
            `null` in the result, event or progress
            with this field. Absent otherwise.
        outputs (int | Unset): The number of values that the action yielded, if it is a generator; the result is the
            list of them.
        status_code (int | None | Unset): The HTTP status of the error, as in an error answer; `null` unless the job
            failed or was stopped.
        events (list[JobEvent] | Unset): The last events that the action recorded, at most 20; `data` of more than 1 kB
            is omitted here, and is in
            the stream of the log.
        timings (JobTimingsType0 | None | Unset): Seconds for each part of the run; `null` until it has ended, and if
            its action did not start.
        params (JobParams | None | Unset): The params of the call, without values that the action's schema marks
            `writeOnly`. `null` if the agent does
            not keep them: if they are larger than 64 kB, the schema is unknown, the run is a debug run, or the operator
            has disabled it.
        requirements (list[str] | Unset): The call's own requirements.
        caller (JobCaller | None | Unset): The origin of a run; `null` if the agent does not know.
        node (None | str | Unset): The address of the cluster's node that it ran on.
        attempts (int | Unset): The number of runs with this `job_id`, including this one.
    """

    job_id: str
    release: None | str
    action: str
    method: str
    status: str
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    progress: JobProgress | None
    error: Any
    idempotency_key: None | str
    result: Any | Unset = UNSET
    nonfinite: NonFiniteNumbers | Unset = UNSET
    outputs: int | Unset = UNSET
    status_code: int | None | Unset = UNSET
    events: list[JobEvent] | Unset = UNSET
    timings: JobTimingsType0 | None | Unset = UNSET
    params: JobParams | None | Unset = UNSET
    requirements: list[str] | Unset = UNSET
    caller: JobCaller | None | Unset = UNSET
    node: None | str | Unset = UNSET
    attempts: int | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.job_caller import JobCaller  # noqa: PLC0415
        from ..models.job_params import JobParams  # noqa: PLC0415
        from ..models.job_progress import JobProgress  # noqa: PLC0415
        from ..models.job_timings_type_0 import JobTimingsType0  # noqa: PLC0415

        job_id = self.job_id

        release = self.release

        action = self.action

        method = self.method

        status = self.status

        created_at = self.created_at.isoformat()

        started_at: None | str
        if isinstance(self.started_at, datetime.datetime):
            started_at = self.started_at.isoformat()
        else:
            started_at = self.started_at

        finished_at: None | str
        if isinstance(self.finished_at, datetime.datetime):
            finished_at = self.finished_at.isoformat()
        else:
            finished_at = self.finished_at

        progress: dict[str, Any] | None
        if isinstance(self.progress, JobProgress):
            progress = self.progress.to_dict()
        else:
            progress = self.progress

        error = self.error

        idempotency_key = self.idempotency_key

        result = self.result

        nonfinite: dict[str, Any] | Unset = UNSET
        if not isinstance(self.nonfinite, Unset):
            nonfinite = self.nonfinite.to_dict()

        outputs = self.outputs

        status_code = self.status_code

        events: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.events, Unset):
            events = []
            for events_item_data in self.events:
                events_item = events_item_data.to_dict()
                events.append(events_item)

        timings: dict[str, Any] | None | Unset
        if isinstance(self.timings, Unset):
            timings = UNSET
        elif isinstance(self.timings, JobTimingsType0):
            timings = self.timings.to_dict()
        else:
            timings = self.timings

        params: dict[str, Any] | None | Unset
        if isinstance(self.params, Unset):
            params = UNSET
        elif isinstance(self.params, JobParams):
            params = self.params.to_dict()
        else:
            params = self.params

        requirements: list[str] | Unset = UNSET
        if not isinstance(self.requirements, Unset):
            requirements = self.requirements

        caller: dict[str, Any] | None | Unset
        if isinstance(self.caller, Unset):
            caller = UNSET
        elif isinstance(self.caller, JobCaller):
            caller = self.caller.to_dict()
        else:
            caller = self.caller

        node = self.node

        attempts = self.attempts

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "job_id": job_id,
                "release": release,
                "action": action,
                "method": method,
                "status": status,
                "created_at": created_at,
                "started_at": started_at,
                "finished_at": finished_at,
                "progress": progress,
                "error": error,
                "idempotency_key": idempotency_key,
            }
        )
        if result is not UNSET:
            field_dict["result"] = result
        if nonfinite is not UNSET:
            field_dict["nonfinite"] = nonfinite
        if outputs is not UNSET:
            field_dict["outputs"] = outputs
        if status_code is not UNSET:
            field_dict["status_code"] = status_code
        if events is not UNSET:
            field_dict["events"] = events
        if timings is not UNSET:
            field_dict["timings"] = timings
        if params is not UNSET:
            field_dict["params"] = params
        if requirements is not UNSET:
            field_dict["requirements"] = requirements
        if caller is not UNSET:
            field_dict["caller"] = caller
        if node is not UNSET:
            field_dict["node"] = node
        if attempts is not UNSET:
            field_dict["attempts"] = attempts

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.job_caller import JobCaller  # noqa: PLC0415
        from ..models.job_event import JobEvent  # noqa: PLC0415
        from ..models.job_params import JobParams  # noqa: PLC0415
        from ..models.job_progress import JobProgress  # noqa: PLC0415
        from ..models.job_timings_type_0 import JobTimingsType0  # noqa: PLC0415
        from ..models.non_finite_numbers import NonFiniteNumbers  # noqa: PLC0415

        d = dict(src_dict)
        job_id = d.pop("job_id")

        release = cast(None | str, d.pop("release"))

        action = d.pop("action")

        method = d.pop("method")

        status = d.pop("status")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        def _parse_started_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                started_at_type_0 = datetime.datetime.fromisoformat(data)

                return started_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        started_at = _parse_started_at(d.pop("started_at"))

        def _parse_finished_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                finished_at_type_0 = datetime.datetime.fromisoformat(data)

                return finished_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        finished_at = _parse_finished_at(d.pop("finished_at"))

        def _parse_progress(data: object) -> JobProgress | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_job_progress_type_0 = JobProgress.from_dict(data)

                return componentsschemas_job_progress_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JobProgress | None, data)

        progress = _parse_progress(d.pop("progress"))

        error = d.pop("error")

        idempotency_key = cast(None | str, d.pop("idempotency_key"))

        result = d.pop("result", UNSET)

        _nonfinite = d.pop("nonfinite", UNSET)
        nonfinite: NonFiniteNumbers | Unset
        if isinstance(_nonfinite, Unset):
            nonfinite = UNSET
        else:
            nonfinite = NonFiniteNumbers.from_dict(_nonfinite)

        outputs = d.pop("outputs", UNSET)

        status_code = cast(int | None | Unset, d.pop("status_code", UNSET))

        _events = d.pop("events", UNSET)
        events: list[JobEvent] | Unset = UNSET
        if _events is not UNSET:
            events = []
            for events_item_data in _events:
                events_item = JobEvent.from_dict(events_item_data)

                events.append(events_item)

        def _parse_timings(data: object) -> JobTimingsType0 | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_job_timings_type_0 = JobTimingsType0.from_dict(data)

                return componentsschemas_job_timings_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JobTimingsType0 | None | Unset, data)

        timings = _parse_timings(d.pop("timings", UNSET))

        def _parse_params(data: object) -> JobParams | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                params_type_0 = JobParams.from_dict(data)

                return params_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JobParams | None | Unset, data)

        params = _parse_params(d.pop("params", UNSET))

        requirements = cast(list[str], d.pop("requirements", UNSET))

        def _parse_caller(data: object) -> JobCaller | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_job_caller_type_0 = JobCaller.from_dict(data)

                return componentsschemas_job_caller_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JobCaller | None | Unset, data)

        caller = _parse_caller(d.pop("caller", UNSET))

        node = cast(None | str | Unset, d.pop("node", UNSET))

        attempts = d.pop("attempts", UNSET)

        job = cls(
            job_id=job_id,
            release=release,
            action=action,
            method=method,
            status=status,
            created_at=created_at,
            started_at=started_at,
            finished_at=finished_at,
            progress=progress,
            error=error,
            idempotency_key=idempotency_key,
            result=result,
            nonfinite=nonfinite,
            outputs=outputs,
            status_code=status_code,
            events=events,
            timings=timings,
            params=params,
            requirements=requirements,
            caller=caller,
            node=node,
            attempts=attempts,
        )

        job.additional_properties = d
        return job
