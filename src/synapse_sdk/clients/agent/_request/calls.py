"""The seam to the generated package: build requests from each method's arguments. No I/O here.

Functions import generated code when they are called, so that importing a client costs next to nothing.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from io import BytesIO
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

from synapse_sdk.clients.agent._request.arguments import (
    check_action,
    check_count,
    check_fields,
    check_filters,
    check_job_id,
    check_lookup,
    check_mapping,
    check_moment,
    check_segment,
    check_text,
)
from synapse_sdk.clients.agent._request.config import TimeoutProfile
from synapse_sdk.clients.agent._request.json_body import HoldsFiles, encode


@dataclass(frozen=True, slots=True)
class Request:
    """One request, without the agent's address and the common headers."""

    operation: str
    method: str
    target: str
    """Path and query, percent-encoded."""
    answers: Mapping[int, str]
    """The contract's successes: status to content of the answer, in the terms of the generated `SUCCESS`."""
    pace: TimeoutProfile = "control"
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of this request only."""
    unsent: Any = field(default=None, repr=False)
    """The JSON value of a body that contains files, which are sent first; then there is no body yet."""

    @property
    def is_stream(self) -> bool:
        """Whether a successful answer is passed on in parts, instead of being read to its end."""
        return "events" in self.answers.values()

    def kind_of(self, status: int) -> str:
        """Return the kind of a successful body; for a status that the contract lacks, that of the first one."""
        return self.answers.get(status) or next(iter(self.answers.values()))


Wanted = Literal["result", "job", "events"]
"""The wanted answer to a run: its result, its job, or its job for following its events."""
_ANSWERS: Mapping[Wanted, Mapping[int, str]] = {
    "result": {},
    "job": {200: "result"},  # not a job: from an agent that does not know the preference
    "events": {202: "accepted"},
}


class _Operation(Protocol):
    """A generated endpoint module."""

    @property
    def OPERATION_ID(self) -> str: ...

    @property
    def SUCCESS(self) -> Mapping[int, str]: ...


def health_check() -> Request:
    """Return the call for `health_check`."""
    from synapse_agent_api.api.health import health_check as operation

    return _call(operation, operation.build_request())


def create_backup() -> Request:
    """Return the call for `create_backup`."""
    from synapse_agent_api.api.maintenance import create_backup as operation

    return _call(operation, operation.build_request())


def check_readiness() -> Request:
    """Return the call for `check_readiness`."""
    from synapse_agent_api.api.health import check_readiness as operation

    return _call(operation, operation.build_request())


def list_environments() -> Request:
    """Return the call for `list_environments`."""
    from synapse_agent_api.api.maintenance import list_environments as operation

    return _call(operation, operation.build_request())


def get_storage() -> Request:
    """Return the call for `get_storage`."""
    from synapse_agent_api.api.maintenance import get_storage as operation

    return _call(operation, operation.build_request())


def create_session_code() -> Request:
    """Return the call for `create_session_code`."""
    from synapse_agent_api.api.sessions import create_session_code as operation

    return _call(operation, operation.build_request())


def get_gpu_status() -> Request:
    """Return the call for the GPUs of all nodes."""
    from synapse_agent_api.api.resources import get_gpu_status as operation

    return _call(operation, operation.build_request())


def list_nodes() -> Request:
    """Return the call for all nodes."""
    from synapse_agent_api.api.resources import list_nodes as operation

    return _call(operation, operation.build_request())


def get_node(node_id: str) -> Request:
    """Return the call for a node."""
    from synapse_agent_api.api.resources import get_node as operation

    return _call(operation, operation.build_request(check_text(node_id, "node_id")))


def get_cluster_resources(*, use_cache: bool) -> Request:
    """Return the call for the resources of all nodes."""
    from synapse_agent_api.api.resources import get_cluster_resources as operation

    return _call(operation, operation.build_request(use_cache=bool(use_cache)))


def list_plugin_releases(params: Mapping[str, Any] | None = None) -> Request:
    """Return the call for a page of releases; every filter is passed on."""
    from synapse_agent_api.api.plugin_releases import list_plugin_releases as operation
    from synapse_agent_api.models.release_filters import ReleaseFilters
    from synapse_agent_api.types import UNSET

    filters = ReleaseFilters.from_dict({} if params is None else check_filters(params))
    return _call(operation, operation.build_request(page=UNSET, page_size=UNSET, filters=filters))


def get_plugin_release(lookup: str | int) -> Request:
    """Return the call for one release."""
    from synapse_agent_api.api.plugin_releases import get_plugin_release as operation

    return _call(operation, operation.build_request(check_lookup(lookup)))


def create_plugin_release(plugin: str, version: str | None = None, *, refresh: bool = False) -> Request:
    """Return the call that caches a release; absent arguments stay absent."""
    from synapse_agent_api.api.plugin_releases import create_plugin_release as operation
    from synapse_agent_api.models.create_plugin_release_request import CreatePluginReleaseRequest
    from synapse_agent_api.types import UNSET

    body = CreatePluginReleaseRequest(
        plugin=check_text(plugin, "plugin"),
        version=UNSET if version is None else check_text(version, "version"),
        refresh=True if refresh else UNSET,
    )
    return _call(operation, operation.build_request(body=body), "create")


def push_plugin_release(archive: Mapping[str, Any], *, replace: bool = False) -> Request:
    """Return the call that caches a release from an uploaded archive."""
    from synapse_agent_api.api.plugin_releases import push_plugin_release as operation
    from synapse_agent_api.models.push_plugin_release_request import PushPluginReleaseRequest

    given = {"archive": dict(archive), **({"replace": True} if replace else {})}
    return _call(operation, operation.build_request(body=PushPluginReleaseRequest.from_dict(given)), "create")


def delete_plugin_release(lookup: str | int) -> Request:
    """Return the call that deletes a release."""
    from synapse_agent_api.api.plugin_releases import delete_plugin_release as operation

    return _call(operation, operation.build_request(check_lookup(lookup)))


def warm_plugin_release(lookup: str | int, action: str | None = None) -> Request:
    """Return the call that prepares a release for its first run."""
    from synapse_agent_api.api.plugin_releases import warm_plugin_release as operation
    from synapse_agent_api.models.warm_request import WarmRequest

    body = WarmRequest() if action is None else WarmRequest(action=check_action(action))
    return _call(operation, operation.build_request(check_lookup(lookup), body=body), "create")


def run_plugin_release(
    lookup: str | int,
    action: str | None,
    *,
    data: Mapping[str, Any] | None,
    params: Mapping[str, Any] | None,
    requirements: Sequence[str] | None,
    job_id: str | None,
    language: str | None,
    priority: int | None = None,
    wanted: Wanted = "result",
) -> Request:
    """Return the call that runs an action; `data` is sent unchanged, without the other fields."""
    from synapse_agent_api.api.plugin_releases import run_plugin_release as operation
    from synapse_agent_api.models.legacy_run_payload import LegacyRunPayload
    from synapse_agent_api.models.run_request import RunRequest

    fields = {
        "params": params,
        "requirements": requirements,
        "job_id": job_id,
        "language": language,
        "priority": priority,
    }
    if data is None and action is None:
        raise TypeError("run_plugin_release() needs an action, or the whole payload as data=.")
    if data is None:
        body: RunRequest | LegacyRunPayload = RunRequest.from_dict(
            {"action": check_action(action), **check_fields(fields)}
        )
    else:
        _warn_of_ignored({"action": action, **fields})
        body = LegacyRunPayload.from_dict(check_mapping(data, "data"))
    request = operation.build_request(check_lookup(lookup), body=body, prefer=_preference(wanted))
    return _run(operation, request, wanted)


def run_debug_plugin_release(
    action: str,
    *,
    params: Mapping[str, Any] | None,
    plugin_path: str | os.PathLike[str] | None,
    config: Mapping[str, Any] | None,
    modules: Mapping[str, str] | None,
    requirements: Sequence[str] | None,
    job_id: str | None,
    language: str | None,
    priority: int | None = None,
    wanted: Wanted = "result",
) -> Request:
    """Return the call that runs an action from source."""
    from synapse_agent_api.api.plugin_releases import run_debug_plugin_release as operation
    from synapse_agent_api.models.debug_run_request import DebugRunRequest

    fields = {
        "params": params,
        "plugin_path": plugin_path,
        "config": config,
        "modules": modules,
        "requirements": requirements,
        "job_id": job_id,
        "language": language,
        "priority": priority,
    }
    body = DebugRunRequest.from_dict({"action": check_action(action), **check_fields(fields)})
    request = operation.build_request(body=body, prefer=_preference(wanted))
    return _run(operation, request, wanted)


def list_jobs(
    *,
    status: str | None = None,
    limit: int | None = None,
    before: str | None = None,
    idempotency_key: str | None = None,
    release: str | None = None,
    action: str | None = None,
    created_after: datetime | str | None = None,
    created_before: datetime | str | None = None,
    job_id_prefix: str | None = None,
) -> Request:
    """Return the call for job records; filters that are None are omitted."""
    from synapse_agent_api.api.jobs import list_jobs as operation

    query = {
        "status": None if status is None else _job_status(status),
        "limit": None if limit is None else check_count(limit, "limit"),
        "before": None if before is None else check_text(before, "before"),
    }
    texts = {
        "idempotency_key": idempotency_key,
        "release": release,
        "action": action,
        "job_id_prefix": job_id_prefix,
    }
    query |= {name: check_text(text, name) for name, text in texts.items() if text is not None}
    times = {"created_after": created_after, "created_before": created_before}
    query |= {name: check_moment(moment, name) for name, moment in times.items() if moment is not None}
    given: dict[str, Any] = {name: value for name, value in query.items() if value is not None}
    return _call(operation, operation.build_request(**given))


def get_job_statistics(hours: float, buckets: int) -> Request:
    """Return the call that counts jobs over time."""
    from synapse_agent_api.api.jobs import get_job_statistics as operation

    return _call(operation, operation.build_request(hours=hours, buckets=buckets))


def get_job(job_id: str) -> Request:
    """Return the call for a job's record."""
    from synapse_agent_api.api.jobs import get_job as operation

    return _call(operation, operation.build_request(check_job_id(job_id)))


def get_job_logs(job_id: str, tail: int | None = None, since: datetime | str | None = None) -> Request:
    """Return the call for a job's log, or a part of it."""
    from synapse_agent_api.api.jobs import get_job_logs as operation

    query: dict[str, Any] = {} if tail is None else {"tail": check_count(tail, "tail")}
    query |= {} if since is None else {"since": check_moment(since, "since")}
    return _call(operation, operation.build_request(check_job_id(job_id), **query))


def list_job_files(job_id: str) -> Request:
    """Return the call that lists a job's output files."""
    from synapse_agent_api.api.jobs import list_job_files as operation

    return _call(operation, operation.build_request(check_job_id(job_id)))


def get_job_file(job_id: str, name: str, start: int, end: int) -> Request:
    """Return the call for a range of bytes of a job's file."""
    from synapse_agent_api.api.jobs import get_job_file as operation

    name = check_text(name, "name")
    return _call(operation, operation.build_request(check_job_id(job_id), name=name, range_=_range(start, end)))


def get_file(file_id: str) -> Request:
    """Return the call for the state of a file."""
    from synapse_agent_api.api.files import get_file as operation

    return _call(operation, operation.build_request(file_id))


def get_file_content(file_id: str, start: int, end: int) -> Request:
    """Return the call for a range of bytes of a file."""
    from synapse_agent_api.api.files import get_file_content as operation

    return _call(operation, operation.build_request(file_id, range_=_range(start, end)))


def put_file_content(file_id: str, part: bytes, *, size: int, offset: int, name: str, media_type: str) -> Request:
    """Return the call that uploads a part of a file."""
    from synapse_agent_api.api.files import put_file_content as operation
    from synapse_agent_api.types import File

    request = operation.build_request(
        file_id, body=File(BytesIO(part)), size=size, offset=offset, name=name, media_type=media_type
    )
    return _call(operation, request)


def delete_file(file_id: str) -> Request:
    """Return the call that deletes a file."""
    from synapse_agent_api.api.files import delete_file as operation

    return _call(operation, operation.build_request(file_id))


def delete_job(job_id: str) -> Request:
    """Return the call that deletes a job."""
    from synapse_agent_api.api.jobs import delete_job as operation

    return _call(operation, operation.build_request(check_job_id(job_id)))


def stop_job(job_id: str) -> Request:
    """Return the call that stops a job."""
    from synapse_agent_api.api.jobs import stop_job as operation

    return _call(operation, operation.build_request(check_job_id(job_id)))


def list_serve_applications() -> Request:
    """Return the call for the served actions."""
    from synapse_agent_api.api.serve_applications import list_serve_applications as operation

    return _call(operation, operation.build_request())


def get_serve_application(name: str) -> Request:
    """Return the call for one served action."""
    from synapse_agent_api.api.serve_applications import get_serve_application as operation

    return _call(operation, operation.build_request(check_segment(name, "name", of="served action")))


def delete_serve_application(name: str) -> Request:
    """Return the call that ends the workers of a served action."""
    from synapse_agent_api.api.serve_applications import delete_serve_application as operation

    return _call(operation, operation.build_request(check_segment(name, "name", of="served action")))


def stream_job_logs(job_id: str, last_event_id: str | None) -> Request:
    """Return the call that follows a job's log, from its beginning or after an event."""
    from synapse_agent_api.api.jobs import stream_job_logs as operation
    from synapse_agent_api.types import UNSET

    request = operation.build_request(check_job_id(job_id), last_event_id=last_event_id or UNSET)
    request["headers"]["Accept"] = "text/event-stream, application/json"
    return _call(operation, request, "stream")


def generic(request: Mapping[str, Any]) -> Request:
    """Return the call for the request of a generated function, which parses the answer itself."""
    pace: TimeoutProfile = "run" if request["method"] == "POST" else "control"
    return Request("request", request["method"], _target(request), {200: "any"}, pace, _body(request))


def _call(operation: _Operation, request: Mapping[str, Any], pace: TimeoutProfile = "control") -> Request:
    target, headers = _target(request), request.get("headers", {})
    return Request(operation.OPERATION_ID, request["method"], target, operation.SUCCESS, pace, _body(request), headers)


def _run(operation: _Operation, request: Mapping[str, Any], wanted: Wanted) -> Request:
    try:
        run = _call(operation, request, "run")
    except HoldsFiles:
        run = replace(_call(operation, {**request, "json": None}, "run"), body=None, unsent=request["json"])
    return replace(run, answers={**run.answers, **_ANSWERS[wanted]})


def _preference(wanted: Wanted) -> Any:
    from synapse_agent_api.types import UNSET

    return UNSET if wanted == "result" else "respond-async"


def _target(request: Mapping[str, Any]) -> str:
    if not request.get("params"):
        return str(request["url"])
    query = urlencode({key: _query_value(value) for key, value in request["params"].items()}, doseq=True)
    return f"{request['url']}?{query}"


def _body(request: Mapping[str, Any]) -> bytes | None:
    if "json" in request:
        return encode(request["json"])
    content = request.get("content")
    return content if content is None or isinstance(content, bytes) else bytes(content.read())


def _range(start: int, end: int) -> str:
    return f"bytes={start}-{end - 1}"


def _job_status(value: Any) -> Any:
    from synapse_agent_api.models.job_status import JobStatus

    known = [status.value for status in JobStatus]
    if check_text(value, "status") not in known:
        raise ValueError(f"status is {value!r}, but must be one of {', '.join(known)}.")
    return JobStatus(value)


def _query_value(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_query_value(item) for item in value if item is not None]
    return str(value).lower() if isinstance(value, bool) else value


def _warn_of_ignored(fields: Mapping[str, Any]) -> None:
    ignored = [name for name, value in fields.items() if value is not None]
    if ignored:
        # The caller's line is above this function, the one that builds the call, and the client's method.
        warnings.warn(f"data= is sent unchanged; ignored: {', '.join(ignored)}.", UserWarning, stacklevel=4)
