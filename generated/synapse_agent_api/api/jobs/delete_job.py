# By `make generate`. Don't edit.


"""DELETE /jobs/{job_id}/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ...parsed_response import parsed_error, parsed_response
from ...path import segment
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody


OPERATION_ID = "delete_job"
SUCCESS = {
    204: "empty",
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
        "method": "DELETE",
        "url": f"/jobs/{segment(job_id)}/",
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Any | ErrorBody | None:
    from ...models.error_body import ErrorBody

    if response.status_code == 204:
        return cast(Any, None)

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403, 404, 409, 422})


def sync_detailed(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Any | ErrorBody]:
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
) -> Any | ErrorBody | None:
    """Delete a job.

    Removes a finished job, with its result, its log and its files. Its `job_id` can then be used again. Its
    `Idempotency-Key` can't: as long as the agent keeps it, the answer to a repeated request is 500 `job_deleted`,
    and nothing runs.

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
) -> Response[Any | ErrorBody]:
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
) -> Any | ErrorBody | None:
    """Delete a job.

    Removes a finished job, with its result, its log and its files. Its `job_id` can then be used again. Its
    `Idempotency-Key` can't: as long as the agent keeps it, the answer to a repeated request is 500 `job_deleted`,
    and nothing runs.

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
