# Generated from openapi.yaml by `make generate`. Don't edit.


"""GET /jobs/{job_id}/logs/stream/"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...errors import NOT_IN_CONTRACT
from ...path import segment
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody


OPERATION_ID = "stream_job_logs"
SUCCESS = {
    200: "events",
}
"""What a good answer holds, by status: JSON ("object", "array" or "any"), "text", "bytes", "events" or "empty"."""


def build_request(
    job_id: str,
    *,
    last_event_id: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    """Build the request without sending it: the keyword arguments for `request()` of the HTTP library's clients."""

    headers: dict[str, Any] = {}
    if not isinstance(last_event_id, Unset):
        headers["Last-Event-ID"] = last_event_id

    if not isinstance(synapse_user, Unset):
        headers["SYNAPSE-User"] = synapse_user

    if not isinstance(synapse_tenant, Unset):
        headers["SYNAPSE-Tenant"] = synapse_tenant

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": f"/jobs/{segment(job_id)}/logs/stream/",
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ErrorBody | str | None:
    from ...models.error_body import ErrorBody

    if response.status_code == 200:
        response_200 = response.text
        return response_200

    if response.status_code == 401:
        response_401 = ErrorBody.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = ErrorBody.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = ErrorBody.from_dict(response.json())

        return response_404

    if response.status_code == 422:
        response_422 = ErrorBody.from_dict(response.json())

        return response_422

    with suppress(*NOT_IN_CONTRACT):
        response_default = ErrorBody.from_dict(response.json())

        return response_default

    if client.raise_on_unexpected_status:
        raise client.unexpected(response)
    return None


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[ErrorBody | str]:
    try:
        parsed = _parse_response(client=client, response=response)
    except NOT_IN_CONTRACT as cause:
        raise client.unexpected(response, cause) from cause
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parsed=parsed,
    )


def sync_detailed(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    last_event_id: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | str]:
    """Do as `sync` does, and give status and headers besides."""
    kwargs = build_request(
        job_id=job_id,
        last_event_id=last_event_id,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return _build_response(client=client, response=client.get_httpx_client().request(**kwargs))


def sync(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    last_event_id: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | str | None:
    """Follow a job's log.

    The output and reports of the run, from its start to its end, as server-sent events. Each event has an `id`. After a
    broken connection, send the last one in `Last-Event-ID` to resume after it: no line comes twice and none is missing.

    The data of an event is a JSON object with a `type` and a `message`:

    - `log`: a printed line, without its newline. A last line without one comes when the job ends.
    - `progress`: the progress of the action (`current`, `total`, and `step` if it has one). Only the newest is sent.
    - `event`: something that the action recorded (`event`, `data`), after everything that it printed before.
    - `output`: a value that the action yielded, if it is a generator (`index`, from 0, and `value`). The list of them is
      the result.
    - `error`: the job failed or was stopped; `error` is that of its record.
    - `complete`: the last event; `status` is the job's.

    Ignore types that you don't know. Lines that begin with a colon keep the connection alive.

    Args:
        job_id (str): An ID for a run, of the caller's choice; not `.` or `..`, no control characters.
        last_event_id (str | Unset):
        synapse_user (str | Unset):
        synapse_tenant (str | Unset):
    """

    return sync_detailed(
        job_id=job_id,
        client=client,
        last_event_id=last_event_id,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    last_event_id: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | str]:
    """Do as `asyncio` does, and give status and headers besides."""
    kwargs = build_request(
        job_id=job_id,
        last_event_id=last_event_id,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return _build_response(client=client, response=await client.get_async_httpx_client().request(**kwargs))


async def asyncio(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    last_event_id: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | str | None:
    """Follow a job's log.

    The output and reports of the run, from its start to its end, as server-sent events. Each event has an `id`. After a
    broken connection, send the last one in `Last-Event-ID` to resume after it: no line comes twice and none is missing.

    The data of an event is a JSON object with a `type` and a `message`:

    - `log`: a printed line, without its newline. A last line without one comes when the job ends.
    - `progress`: the progress of the action (`current`, `total`, and `step` if it has one). Only the newest is sent.
    - `event`: something that the action recorded (`event`, `data`), after everything that it printed before.
    - `output`: a value that the action yielded, if it is a generator (`index`, from 0, and `value`). The list of them is
      the result.
    - `error`: the job failed or was stopped; `error` is that of its record.
    - `complete`: the last event; `status` is the job's.

    Ignore types that you don't know. Lines that begin with a colon keep the connection alive.

    Args:
        job_id (str): An ID for a run, of the caller's choice; not `.` or `..`, no control characters.
        last_event_id (str | Unset):
        synapse_user (str | Unset):
        synapse_tenant (str | Unset):
    """

    return (
        await asyncio_detailed(
            job_id=job_id,
            client=client,
            last_event_id=last_event_id,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
