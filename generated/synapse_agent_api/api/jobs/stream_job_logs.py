# By `make generate`. Don't edit.


"""GET /jobs/{job_id}/logs/stream/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
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


def build_request(
    job_id: str,
    *,
    last_event_id: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request's arguments."""

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
        return response.text

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403, 404, 422})


def sync_detailed(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    last_event_id: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | str]:
    """Return the whole response."""
    kwargs = build_request(
        job_id=job_id,
        last_event_id=last_event_id,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


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
    broken connection, send the last one in `Last-Event-ID` to resume after it: each line arrives once.

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
    """Return the whole response."""
    kwargs = build_request(
        job_id=job_id,
        last_event_id=last_event_id,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


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
    broken connection, send the last one in `Last-Event-ID` to resume after it: each line arrives once.

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
