# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset


@_attrs_define
class ErrorDetail(OpenObject["Any"]):
    """The error, with details.

    Attributes:
        error_type (str): The kind of error, for programs; stable.
        message (str): What happened and what to do, for people.
        job_id (str | Unset): The job of the run.
        exception_type (str | Unset): `action_failed`: the exception's class.
        exception_message (str | Unset): `action_failed`: the exception's message.
        traceback (str | Unset): `action_failed`: the traceback, starting with the plugin's own code.
        file (str | Unset): `result_not_serializable`: the job's file with the result's `repr`.
        installer_output (str | Unset): `requirements_failed`: the installer's last lines.
        log (str | Unset): `serve_failed`: the worker's last lines.
    """

    error_type: str
    message: str
    job_id: str | Unset = UNSET
    exception_type: str | Unset = UNSET
    exception_message: str | Unset = UNSET
    traceback: str | Unset = UNSET
    file: str | Unset = UNSET
    installer_output: str | Unset = UNSET
    log: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        error_type = self.error_type

        message = self.message

        job_id = self.job_id

        exception_type = self.exception_type

        exception_message = self.exception_message

        traceback = self.traceback

        file = self.file

        installer_output = self.installer_output

        log = self.log

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "error_type": error_type,
                "message": message,
            }
        )
        if job_id is not UNSET:
            field_dict["job_id"] = job_id
        if exception_type is not UNSET:
            field_dict["exception_type"] = exception_type
        if exception_message is not UNSET:
            field_dict["exception_message"] = exception_message
        if traceback is not UNSET:
            field_dict["traceback"] = traceback
        if file is not UNSET:
            field_dict["file"] = file
        if installer_output is not UNSET:
            field_dict["installer_output"] = installer_output
        if log is not UNSET:
            field_dict["log"] = log

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        error_type = d.pop("error_type")

        message = d.pop("message")

        job_id = d.pop("job_id", UNSET)

        exception_type = d.pop("exception_type", UNSET)

        exception_message = d.pop("exception_message", UNSET)

        traceback = d.pop("traceback", UNSET)

        file = d.pop("file", UNSET)

        installer_output = d.pop("installer_output", UNSET)

        log = d.pop("log", UNSET)

        error_detail = cls(
            error_type=error_type,
            message=message,
            job_id=job_id,
            exception_type=exception_type,
            exception_message=exception_message,
            traceback=traceback,
            file=file,
            installer_output=installer_output,
            log=log,
        )

        error_detail.additional_properties = d
        return error_detail
