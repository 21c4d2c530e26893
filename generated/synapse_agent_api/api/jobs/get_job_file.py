# By `make generate`. Don't edit.


"""GET /jobs/{job_id}/files/content/"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
from ...path import segment
from ...types import UNSET, File, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody


OPERATION_ID = "get_job_file"
SUCCESS = {
    200: "bytes",
    206: "bytes",
}


def build_request(
    job_id: str,
    *,
    name: str,
    range_: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request's arguments."""

    headers: dict[str, Any] = {}
    if not isinstance(range_, Unset):
        headers["Range"] = range_

    if not isinstance(synapse_user, Unset):
        headers["SYNAPSE-User"] = synapse_user

    if not isinstance(synapse_tenant, Unset):
        headers["SYNAPSE-Tenant"] = synapse_tenant

    params: dict[str, Any] = {}

    params["name"] = name

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": f"/jobs/{segment(job_id)}/files/content/",
        "params": params,
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ErrorBody | File | None:
    from ...models.error_body import ErrorBody

    if response.status_code == 200:
        return File(payload=BytesIO(response.content))

    if response.status_code == 206:
        return File(payload=BytesIO(response.content))

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403, 404, 416, 422})


def sync_detailed(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    name: str,
    range_: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | File]:
    """Return the whole response."""
    kwargs = build_request(
        job_id=job_id,
        name=name,
        range_=range_,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    name: str,
    range_: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | File | None:
    """Download a job's file.

    Possible once the job has ended.

    Args:
        job_id (str): An ID for a run, of the caller's choice; not `.` or `..`, no control characters.
    """

    return sync_detailed(
        job_id=job_id,
        client=client,
        name=name,
        range_=range_,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    name: str,
    range_: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | File]:
    """Return the whole response."""
    kwargs = build_request(
        job_id=job_id,
        name=name,
        range_=range_,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    name: str,
    range_: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | File | None:
    """Download a job's file.

    Possible once the job has ended.

    Args:
        job_id (str): An ID for a run, of the caller's choice; not `.` or `..`, no control characters.
    """

    return (
        await asyncio_detailed(
            job_id=job_id,
            client=client,
            name=name,
            range_=range_,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
