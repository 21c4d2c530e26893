# By `make generate`. Don't edit.


"""POST /jobs/{job_id}/stop/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
from ...path import segment
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody
    from ...models.job import Job


OPERATION_ID = "stop_job"
SUCCESS = {
    200: "object",
}


def build_request(
    job_id: str,
    *,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request's arguments."""

    headers: dict[str, Any] = {}
    if not isinstance(synapse_user, Unset):
        headers["SYNAPSE-User"] = synapse_user

    if not isinstance(synapse_tenant, Unset):
        headers["SYNAPSE-Tenant"] = synapse_tenant

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": f"/jobs/{segment(job_id)}/stop/",
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ErrorBody | Job | None:
    from ...models.error_body import ErrorBody
    from ...models.job import Job

    if response.status_code == 200:
        return Job.from_dict(response.json())

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403, 404, 422})


def sync_detailed(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | Job]:
    """Return the whole response."""
    kwargs = build_request(
        job_id=job_id,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | Job | None:
    """Stop a job.

    Ends the run and all its processes, and answers when they have ended. The agent sends SIGTERM before it kills an
    action; a queued run never starts. A finished job does not change, so the request can be repeated.

    Args:
        job_id (str): An ID for a run, of the caller's choice; not `.` or `..`, no control characters.
    """

    return sync_detailed(
        job_id=job_id,
        client=client,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | Job]:
    """Return the whole response."""
    kwargs = build_request(
        job_id=job_id,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | Job | None:
    """Stop a job.

    Ends the run and all its processes, and answers when they have ended. The agent sends SIGTERM before it kills an
    action; a queued run never starts. A finished job does not change, so the request can be repeated.

    Args:
        job_id (str): An ID for a run, of the caller's choice; not `.` or `..`, no control characters.
    """

    return (
        await asyncio_detailed(
            job_id=job_id,
            client=client,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
