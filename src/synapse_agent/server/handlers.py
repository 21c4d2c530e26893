"""The handler for each operation of the contract, named by its operationId."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import urlencode

from starlette.requests import HTTPConnection
from starlette.responses import Response, StreamingResponse

from synapse_agent.agent import Agent
from synapse_agent.files.references import find_references
from synapse_agent.files.store import FilePart
from synapse_agent.jobs.idempotency import RequestKey
from synapse_agent.jobs.submission import Caller, RunSpec
from synapse_agent.observe.event_stream import follow_changes
from synapse_agent.plugins.advice import ignored_keys
from synapse_agent.plugins.config import Action
from synapse_agent.plugins.debug_source import DebugSource, DebugWorkspace
from synapse_agent.plugins.requirements import check_requirements
from synapse_agent.problems import Problem, invalid
from synapse_agent.runner.resources.ledger import Lane
from synapse_agent.runner.serving.pool import application_not_found
from synapse_agent.runner.warming import ANSWER_SECONDS
from synapse_agent.server.auth import TOKEN
from synapse_agent.server.file_response import FileAnswer
from synapse_agent.server.observation import TRACEPARENT
from synapse_agent.server.requests import KEY_HEADER, OperationRequest
from synapse_agent.server.response_headers import FEATURES, REQUEST_ID
from synapse_agent.server.responses import json_answer
from synapse_agent.storage.disk import disk_full
from synapse_agent.storage.repositories.job_pages import JobFilters
from synapse_agent.storage.repositories.releases import RELEASE_FILTERS
from synapse_agent.util.json_text import json_bytes
from synapse_agent.util.times import as_text, now
from synapse_sdk._version import __version__

DEFAULT_PAGE_SIZE = 100
LONGEST_USER_AGENT = 200


async def health_check(agent: Agent, _request: OperationRequest) -> Response:
    """Return the agent's version, features, isolation of actions, and load."""
    sandbox = {
        "status": agent.sandbox.status,
        "landlock_abi": agent.sandbox.landlock_abi,
        "restricts": agent.sandbox.restricts,
    }
    facts = {"status": "ok", "version": __version__, "features": FEATURES, "sandbox": sandbox}
    load = {**agent.jobs.counts(), "capacity": agent.observer.capacity, "uptime": round(agent.observer.uptime, 3)}
    kept = agent.runner.kept()
    return json_answer(json_bytes({**facts, **load, **({"warm": kept} if kept else {})}))


async def create_backup(agent: Agent, _request: OperationRequest) -> Response:
    """Write a copy of the database."""
    created_at = now()
    await agent.database.back_up(agent.folder.backup)
    size = agent.folder.backup.stat().st_size
    return json_answer(json_bytes({"path": str(agent.folder.backup), "size": size, "created_at": created_at}))


async def get_gpu_status(agent: Agent, _request: OperationRequest) -> Response:
    """Return the GPUs of all nodes."""
    return json_answer(json_bytes(await agent.nodes.gpus()))


async def list_nodes(agent: Agent, _request: OperationRequest) -> Response:
    """Return all nodes."""
    return json_answer(json_bytes([node.as_dict() for node in await agent.nodes.nodes()]))


async def get_node(agent: Agent, request: OperationRequest) -> Response:
    """Return a node."""
    return json_answer(json_bytes((await agent.nodes.node(request.path["node_id"])).as_dict()))


async def get_cluster_resources(agent: Agent, request: OperationRequest) -> Response:
    """Return the resources of all nodes together."""
    cluster = await agent.nodes.cluster(use_cache=request.query.get("use_cache", True))
    workers = sum(len(each["workers"]) for each in await agent.runner.serve_applications())
    running = {"running_jobs": agent.jobs.running, "total_serve_replicas": workers}
    return json_answer(json_bytes({**cluster, **running}))


async def list_plugin_releases(agent: Agent, request: OperationRequest) -> Response:
    """Return a page of the releases that match the filters."""
    named = {name: value for name, value in request.query.items() if name in RELEASE_FILTERS}
    for name, value in request.filters.items():
        if name not in RELEASE_FILTERS:
            message = f"Unknown filter. Available: {', '.join(RELEASE_FILTERS)}"
            raise invalid("unknown_filter", message, at=["query", name], value=value)
    page, page_size = request.query.get("page", 1), request.query.get("page_size", DEFAULT_PAGE_SIZE)
    count, rows = agent.releases.page({**named, **request.filters}, number=page, size=page_size)
    return json_answer(
        json_bytes(
            {
                "count": count,
                "next": _page_url(request, page + 1) if page * page_size < count else None,
                "previous": _page_url(request, page - 1) if page > 1 else None,
                "results": [agent.releases.record(row) for row in rows],
            }
        )
    )


async def get_plugin_release(agent: Agent, request: OperationRequest) -> Response:
    """Return a release."""
    return json_answer(json_bytes(agent.releases.record(agent.releases.find(request.path["lookup"]))))


async def create_plugin_release(agent: Agent, request: OperationRequest) -> Response:
    """Fetch and cache a release: 201 if this call did, 200 if it was cached already."""
    body = request.body
    made = await agent.releases.create(body["plugin"], body.get("version"), refresh=body.get("refresh", False))
    changed = {"source_changed": True} if made.source_changed else {}
    return json_answer(json_bytes({**agent.releases.record(made.release), **changed}), 201 if made.is_new else 200)


async def push_plugin_release(agent: Agent, request: OperationRequest) -> Response:
    """Cache a release from an uploaded archive."""
    references = list(find_references({"archive": request.body["archive"]}))
    if len(references) != 1:
        raise invalid(
            "file_reference", "Input should refer to one file", at=["body", "archive"], value=request.body["archive"]
        )
    made = await agent.push(references[0], replace=request.body.get("replace", False))
    return json_answer(json_bytes(agent.releases.record(made.release)), 201 if made.is_new else 200)


async def delete_plugin_release(agent: Agent, request: OperationRequest) -> Response:
    """Delete a release."""
    await agent.releases.delete(request.path["lookup"])
    return Response(status_code=204)


async def warm_plugin_release(agent: Agent, request: OperationRequest) -> Response:
    """Prepare a release for its first run: 202 if that takes long, and continues in the background."""
    found = await agent.warm(request.path["lookup"], request.body.get("action"), limit=ANSWER_SECONDS)
    return json_answer(json_bytes(found), 200 if found["status"] == "ready" else 202)


async def run_plugin_release(agent: Agent, request: OperationRequest) -> Response:
    """Run an action of a release."""
    return await _run_once(agent, request, _release_spec)


async def run_debug_plugin_release(agent: Agent, request: OperationRequest) -> Response:
    """Run an action from a folder of source."""
    return await _run_once(agent, request, _debug_spec)


async def list_jobs(agent: Agent, request: OperationRequest) -> Response:
    """Return job records, newest first."""
    query = dict(request.query)
    limit, before = query.pop("limit", DEFAULT_PAGE_SIZE), query.pop("before", None)
    query |= {name: _moment(name, query[name]) for name in ("created_after", "created_before") if name in query}
    return json_answer(agent.jobs.records(JobFilters(**query), limit=limit, before=before))


async def get_job_statistics(agent: Agent, request: OperationRequest) -> Response:
    """Return counts of jobs, failures and durations, per interval."""
    hours, count = request.query.get("hours", 1), request.query.get("buckets", 60)
    buckets = []
    for bucket in agent.database.job_statistics.buckets(hours, count):
        buckets.append(bucket.record())
        await asyncio.sleep(0)  # yields to other tasks between intervals, which take milliseconds each
    return json_answer(json_bytes({"buckets": buckets}))


async def get_job(agent: Agent, request: OperationRequest) -> Response:
    """Return a job record."""
    return json_answer(agent.jobs.record(agent.jobs.find(request.path["job_id"])))


async def delete_job(agent: Agent, request: OperationRequest) -> Response:
    """Delete a job."""
    await agent.jobs.delete(request.path["job_id"])
    return Response(status_code=204)


async def get_job_logs(agent: Agent, request: OperationRequest) -> Response:
    """Return a run's output so far."""
    since = request.query.get("since")
    log = agent.jobs.log(
        request.path["job_id"], tail=request.query.get("tail"), since=None if since is None else _moment("since", since)
    )
    return StreamingResponse(_parts(log), media_type="text/plain; charset=utf-8")


async def stream_job_logs(agent: Agent, request: OperationRequest) -> Response:
    """Stream a job's log and events."""
    return _event_stream(agent.jobs.follow(request.path["job_id"], after=request.headers.get("Last-Event-ID")))


async def stream_events(agent: Agent, _request: OperationRequest) -> Response:
    """Stream changes."""
    return _event_stream(follow_changes(agent.observer.changes, agent.jobs.listed))


async def list_job_files(agent: Agent, request: OperationRequest) -> Response:
    """List the output files of a run."""
    files = await agent.jobs.outputs(request.path["job_id"])
    return json_answer(json_bytes([file.record() for file in files]))


async def get_job_file(agent: Agent, request: OperationRequest) -> Response:
    """Return one of these files."""
    name = request.query["name"]
    path = await agent.jobs.output(request.path["job_id"], name)
    return FileAnswer(path, name=name, range_header=request.headers.get("Range"))


async def get_file(agent: Agent, request: OperationRequest) -> Response:
    """Return the state of an uploaded file."""
    return json_answer(json_bytes(asdict(agent.files.find(request.path["file_id"]))))


async def put_file_content(agent: Agent, request: OperationRequest) -> Response:
    """Receive a file or a part of it."""
    if agent.folder.reserve.is_low:
        raise disk_full()
    stored = await agent.files.receive(request.path["file_id"], FilePart(**request.query), request.body)
    return json_answer(json_bytes(asdict(stored)))


async def get_file_content(agent: Agent, request: OperationRequest) -> Response:
    """Return an uploaded file, once it is complete."""
    file_id = request.path["file_id"]
    known = agent.files.find(file_id)
    if known.received != known.size:
        message = f"Only {known.received} bytes of the file {file_id} have arrived. Upload the rest."
        raise Problem(404, "file_not_found", message, file_id=file_id)
    return FileAnswer(agent.files.path(file_id), name=known.name or file_id, range_header=request.headers.get("Range"))


async def delete_file(agent: Agent, request: OperationRequest) -> Response:
    """Delete a file."""
    await agent.files.delete(request.path["file_id"])
    return Response(status_code=204)


async def stop_job(agent: Agent, request: OperationRequest) -> Response:
    """Stop a job."""
    return json_answer(agent.jobs.record(await agent.jobs.stop(request.path["job_id"])))


def _event_stream(events: AsyncIterator[bytes]) -> Response:
    # The last header is for proxies such as nginx, which would buffer events.
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def list_serve_applications(agent: Agent, _call: OperationRequest) -> Response:
    """Return the served actions that workers hold."""
    return json_answer(json_bytes(await agent.runner.serve_applications()))


async def get_serve_application(agent: Agent, call: OperationRequest) -> Response:
    """Return a served action."""
    name = call.path["name"]
    for each in await agent.runner.serve_applications():
        if each["name"] == name:
            return json_answer(json_bytes(each))
    raise application_not_found(name)


async def delete_serve_application(agent: Agent, call: OperationRequest) -> Response:
    """Stop the workers of a served action."""
    await agent.runner.delete_serve_application(call.path["name"])
    return Response(status_code=204)


async def _run_once(
    agent: Agent, request: OperationRequest, read_spec: Callable[[Agent, OperationRequest], RunSpec]
) -> Response:
    """Return the result of the run that the request's key started before, or start one."""
    key = _read_key(request)
    # No await between here and the job's row: of two requests with one key, the second finds the row.
    job = agent.jobs.attach(key) if key else None
    if job is None:
        job = agent.jobs.submit(read_spec(agent, request), key=key)
    if _is_awaited(job.method, request):
        return json_answer(await agent.jobs.result(job))
    record = agent.jobs.record(job)
    await agent.jobs.created(job)
    return json_answer(record, 202)


def _is_awaited(method: str, request: OperationRequest) -> bool:
    return method != "job" and not _prefers_async(request)


def _prefers_async(request: OperationRequest) -> bool:
    """Return whether the request asks for its job instead of the result (RFC 7240)."""
    if "Prefer" not in request.headers:
        return False
    preferences = request.headers["Prefer"].split(",")
    return any(preference.partition(";")[0].strip().lower() == "respond-async" for preference in preferences)


def _read_key(request: OperationRequest) -> RequestKey | None:
    """Return a request's key, None without one.

    The request's text counts, not its current meaning: it is still the same request after its release
    was deleted or its `plugin_path` moved.
    """
    value = request.headers.get(KEY_HEADER)
    return RequestKey(value, request.digest) if value else None


def _release_spec(agent: Agent, request: OperationRequest) -> RunSpec:
    release = agent.releases.find(request.path["lookup"])
    config = agent.releases.config(release)
    action = config.action(request.body["action"])
    return RunSpec(
        action=action,
        config=config,
        workspace=agent.releases.lease(release),
        release=f"{release.plugin}@{release.version}",
        params_schema=agent.releases.params_schema(release, action.name),
        **_common(agent, request, action, "params"),
    )


def _debug_spec(agent: Agent, request: OperationRequest) -> RunSpec:
    source = DebugSource.from_request(request.body, agent.debug)
    action = source.config.action(request.body["action"])
    return RunSpec(
        action=action,
        config=source.config,
        workspace=DebugWorkspace(source, agent.folder.temporary("debug"), limits=agent.debug.limits),
        warnings=ignored_keys(request.body.get("config", {}), action.name),
        **_common(agent, request, action, "params", "plugin_path", "config", "modules"),
    )


async def _parts(log: Iterator[str]) -> AsyncIterator[str]:
    # Read on the event loop: reading a part from the page cache takes less time than passing it to a thread.
    for part in log:
        yield part


def _common(agent: Agent, request: OperationRequest, action: Action, *parts: str) -> dict[str, Any]:
    """Return the fields of both kinds of run, without absent keys; `parts` are those that identify its content."""
    body = request.body
    given: dict[str, Any] = {name: body[name] for name in ("params", "language", "job_id", "priority") if name in body}
    if given.get("priority", 0) > agent.max_priority:
        message = f"Input should be at most {agent.max_priority}, this agent's highest priority"
        raise invalid("less_than_equal", message, at=["body", "priority"], value=given["priority"])
    requirements = check_requirements(body.get("requirements", []), agent.rules)
    identities = {name: request.identities[name] for name in parts if name in request.identities}
    return {
        **given,
        "requirements": requirements,
        "lane": Lane.AWAITED if _is_awaited(action.method, request) else Lane.BACKGROUND,
        "identities": identities,
        "caller": _caller(request),
        "traceparent": request.scope.get(TRACEPARENT),
    }


def _caller(request: OperationRequest) -> Caller:
    scope, user_agent = request.scope, request.sent.get(b"user-agent")
    return Caller(
        token=scope[TOKEN].name if scope[TOKEN] else None,
        address=scope["client"][0] if scope.get("client") else None,
        user_agent=None if user_agent is None else user_agent[:LONGEST_USER_AGENT].decode("latin-1"),
        request_id=scope[REQUEST_ID],
    )


def _moment(name: str, text: str) -> str:
    """Return a time of a query in the database's format."""
    try:
        moment = datetime.fromisoformat(text)
        return as_text(moment) if moment.tzinfo else _no_moment(name, text)
    except (ValueError, OverflowError):
        return _no_moment(name, text)


def _no_moment(name: str, text: str) -> NoReturn:
    raise invalid(
        "datetime_parsing", "Input should be a time as in RFC 3339, with an offset", at=["query", name], value=text
    )


def _page_url(request: OperationRequest, page: int) -> str:
    asked = HTTPConnection(request.scope)
    others = [(name, value) for name, value in asked.query_params.multi_items() if name != "page"]
    return str(asked.url.replace(query=urlencode([("page", page), *others])))
