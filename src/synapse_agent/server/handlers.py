"""What the agent does for each operation of the contract; a function's name is its operationId."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response, StreamingResponse

from synapse_agent.agent import Agent
from synapse_agent.jobs.files import read_log
from synapse_agent.jobs.idempotency import RequestKey
from synapse_agent.jobs.submission import RunSpec
from synapse_agent.plugins.debug_source import DebugSource, DebugWorkspace
from synapse_agent.plugins.requirements import RequirementRules, check_requirements
from synapse_agent.problems import invalid
from synapse_agent.runner.warming import ANSWER_SECONDS
from synapse_agent.server.requests import OperationRequest
from synapse_agent.server.response_headers import FEATURES
from synapse_agent.server.responses import json_answer
from synapse_agent.storage.repositories.releases import RELEASE_FILTERS
from synapse_agent.util.json_text import json_bytes
from synapse_agent.util.times import now
from synapse_sdk._version import __version__

DEFAULT_PAGE_SIZE = 100


async def health_check(agent: Agent, _call: OperationRequest) -> Response:
    """Say that the agent is there, and what keeps its actions in bounds."""
    sandbox = {
        "status": agent.sandbox.status,
        "landlock_abi": agent.sandbox.landlock_abi,
        "restricts": agent.sandbox.restricts,
    }
    health = {"status": "ok", "version": __version__, "features": FEATURES, "sandbox": sandbox}
    kept = agent.runner.kept()
    return json_answer(json_bytes({**health, "warm": kept} if kept else health))


async def create_backup(agent: Agent, _call: OperationRequest) -> Response:
    """Write a copy of the database."""
    created_at = now()
    await agent.database.back_up(agent.folder.backup)
    size = agent.folder.backup.stat().st_size
    return json_answer(json_bytes({"path": str(agent.folder.backup), "size": size, "created_at": created_at}))


async def list_plugin_releases(agent: Agent, request: OperationRequest) -> Response:
    """Give a page of the releases that match the filters."""
    named = {name: value for name, value in request.query.items() if name in RELEASE_FILTERS}
    for name, value in request.filters.items():
        if name not in RELEASE_FILTERS:
            message = f"No filter has this name; there are {', '.join(RELEASE_FILTERS)}"
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
    """Give a release."""
    return json_answer(json_bytes(agent.releases.record(agent.releases.find(request.path["lookup"]))))


async def create_plugin_release(agent: Agent, request: OperationRequest) -> Response:
    """Fetch and cache a release: 201 where this call did, 200 where it was there."""
    row, is_new = await agent.releases.create(request.body["plugin"], request.body["version"])
    return json_answer(json_bytes(agent.releases.record(row)), 201 if is_new else 200)


async def delete_plugin_release(agent: Agent, request: OperationRequest) -> Response:
    """Forget a release."""
    await agent.releases.delete(request.path["lookup"])
    return Response(status_code=204)


async def warm_plugin_release(agent: Agent, request: OperationRequest) -> Response:
    """Prepare a release for its first run: 202 if that takes long, and continues."""
    found = await agent.warm(request.path["lookup"], request.body.get("action"), limit=ANSWER_SECONDS)
    return json_answer(json_bytes(found), 200 if found["status"] == "ready" else 202)


async def run_plugin_release(agent: Agent, request: OperationRequest) -> Response:
    """Run an action of a release."""
    return await _run_once(agent, request, _release_spec)


async def run_debug_plugin_release(agent: Agent, request: OperationRequest) -> Response:
    """Run an action from source."""
    return await _run_once(agent, request, _debug_spec)


async def list_jobs(agent: Agent, request: OperationRequest) -> Response:
    """Give job records, newest first."""
    query = {"limit": DEFAULT_PAGE_SIZE, **request.query}
    return json_answer(agent.jobs.records(**query))


async def get_job(agent: Agent, request: OperationRequest) -> Response:
    """Give a job record."""
    return json_answer(agent.jobs.record(agent.jobs.find(request.path["job_id"])))


async def delete_job(agent: Agent, request: OperationRequest) -> Response:
    """Forget a job."""
    await agent.jobs.delete(request.path["job_id"])
    return Response(status_code=204)


async def get_job_logs(agent: Agent, request: OperationRequest) -> Response:
    """Give what a run has printed so far."""
    path = agent.jobs.log(request.path["job_id"])
    return StreamingResponse(_parts(path), media_type="text/plain; charset=utf-8")


async def stream_job_logs(agent: Agent, request: OperationRequest) -> Response:
    """Give a job's log and events as they come."""
    events = agent.jobs.follow(request.path["job_id"], after=request.headers.get("Last-Event-ID"))
    # For nginx and its like, which would hold events back.
    return StreamingResponse(
        events, media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"}
    )


async def stop_job(agent: Agent, request: OperationRequest) -> Response:
    """End a job."""
    return json_answer(agent.jobs.record(await agent.jobs.stop(request.path["job_id"])))


async def _run_once(
    agent: Agent, request: OperationRequest, read_spec: Callable[[Agent, OperationRequest], RunSpec]
) -> Response:
    """Answer for the run that the request's key has started before, or start one."""
    key = _read_key(request)
    # From here to the job's row there is no await: of two requests with one key, the second finds the row.
    job = agent.jobs.attach(key) if key else None
    if job is None:
        job = agent.jobs.submit(read_spec(agent, request), key=key)
    if job.method == "job" or _prefers_async(request):
        return json_answer(agent.jobs.record(job), 202)
    return json_answer(await agent.jobs.result(job))


def _prefers_async(request: OperationRequest) -> bool:
    """Return whether the request asks for its job rather than for the result, as RFC 7240 writes it."""
    preferences = request.headers.get("Prefer", "").split(",")
    return any(preference.partition(";")[0].strip().lower() == "respond-async" for preference in preferences)


def _read_key(request: OperationRequest) -> RequestKey | None:
    """Return the key of a request, None if it carries none.

    Its text counts, not what it means today: its release may have been deleted since, its
    `plugin_path` moved, and it is still the same request.
    """
    value = request.headers.get("Idempotency-Key")
    return RequestKey(value, request.digest) if value else None


def _release_spec(agent: Agent, request: OperationRequest) -> RunSpec:
    release = agent.releases.find(request.path["lookup"])
    config = agent.releases.config(release)
    return RunSpec(
        action=config.action(request.body["action"]),
        config=config,
        workspace=agent.releases.lease(release),
        release=f"{release.plugin}@{release.version}",
        **_common(request, agent.rules, "params"),
    )


def _debug_spec(agent: Agent, request: OperationRequest) -> RunSpec:
    source = DebugSource.from_request(request.body, agent.debug)
    return RunSpec(
        action=source.config.action(request.body["action"]),
        config=source.config,
        workspace=DebugWorkspace(source, agent.folder.temporary("debug"), limits=agent.debug.limits),
        **_common(request, agent.rules, "params", "plugin_path", "config", "modules"),
    )


async def _parts(log: Path) -> AsyncIterator[str]:
    # Read inline: a part comes from the page cache in less time than a thread takes to be asked for it.
    for part in read_log(log):
        yield part


def _common(request: OperationRequest, rules: RequirementRules, *parts: str) -> dict[str, Any]:
    """Return what both kinds of run take, absent keys left out; `parts` are those that make out its content."""
    body = request.body
    given: dict[str, Any] = {name: body[name] for name in ("params", "language", "job_id") if name in body}
    requirements = check_requirements(body.get("requirements", []), rules)
    identities = {name: request.identities[name] for name in parts if name in request.identities}
    return {**given, "requirements": requirements, "identities": identities}


def _page_url(request: OperationRequest, page: int) -> str:
    others = [(name, value) for name, value in request.http.query_params.multi_items() if name != "page"]
    return str(request.http.url.replace(query=urlencode([("page", page), *others])))
