# By `make generate`. Don't edit.

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.serve_worker import ServeWorker


@_attrs_define
class ServeApplication(OpenObject["Any"]):
    """An action with `method: serve`, and its workers.

    Attributes:
        name (str): `code@version:action`.
        release (str): `code@version` of the release.
        status (str): `RUNNING` if a worker is ready, `FAILED` if the last start failed.
        calls (int): The number of ended calls, including those of earlier workers.
        since (datetime.datetime): The start of the first worker.
        waiting (int | Unset): The number of waiting calls.
        log (str | Unset): The last output of workers outside of calls.
        error (Any | Unset): The `detail` of the last start, if it failed.
    """

    name: str
    release: str
    action: str
    status: str
    workers: list[ServeWorker]
    calls: int
    since: datetime.datetime
    waiting: int | Unset = UNSET
    log: str | Unset = UNSET
    error: Any | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        release = self.release

        action = self.action

        status = self.status

        workers = []
        for workers_item_data in self.workers:
            workers_item = workers_item_data.to_dict()
            workers.append(workers_item)

        calls = self.calls

        since = self.since.isoformat()

        waiting = self.waiting

        log = self.log

        error = self.error

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "release": release,
                "action": action,
                "status": status,
                "workers": workers,
                "calls": calls,
                "since": since,
            }
        )
        if waiting is not UNSET:
            field_dict["waiting"] = waiting
        if log is not UNSET:
            field_dict["log"] = log
        if error is not UNSET:
            field_dict["error"] = error

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.serve_worker import ServeWorker  # noqa: PLC0415

        d = dict(src_dict)
        name = d.pop("name")

        release = d.pop("release")

        action = d.pop("action")

        status = d.pop("status")

        workers = []
        _workers = d.pop("workers")
        for workers_item_data in _workers:
            workers_item = ServeWorker.from_dict(workers_item_data)

            workers.append(workers_item)

        calls = d.pop("calls")

        since = datetime.datetime.fromisoformat(d.pop("since"))

        waiting = d.pop("waiting", UNSET)

        log = d.pop("log", UNSET)

        error = d.pop("error", UNSET)

        serve_application = cls(
            name=name,
            release=release,
            action=action,
            status=status,
            workers=workers,
            calls=calls,
            since=since,
            waiting=waiting,
            log=log,
            error=error,
        )

        serve_application.additional_properties = d
        return serve_application
