# By `make generate`. Don't edit.


"""GET /jobs/"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody
    from ...models.job import Job
    from ...models.job_status import JobStatus


OPERATION_ID = "list_jobs"
SUCCESS = {
    200: "array",
}


def build_request(
    *,
    status: JobStatus | Unset = UNSET,
    limit: int | Unset = UNSET,
    before: str | Unset = UNSET,
    release: str | Unset = UNSET,
    action: str | Unset = UNSET,
    created_after: datetime.datetime | Unset = UNSET,
    created_before: datetime.datetime | Unset = UNSET,
    job_id_prefix: str | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request's arguments."""

    headers: dict[str, Any] = {}
    if not isinstance(synapse_user, Unset):
        headers["SYNAPSE-User"] = synapse_user

    if not isinstance(synapse_tenant, Unset):
        headers["SYNAPSE-Tenant"] = synapse_tenant

    params: dict[str, Any] = {}

    json_status: str | Unset = UNSET
    if not isinstance(status, Unset):
        json_status = status.value

    params["status"] = json_status

    params["limit"] = limit

    params["before"] = before

    params["release"] = release

    params["action"] = action

    json_created_after: str | Unset = UNSET
    if not isinstance(created_after, Unset):
        json_created_after = created_after.isoformat()
    params["created_after"] = json_created_after

    json_created_before: str | Unset = UNSET
    if not isinstance(created_before, Unset):
        json_created_before = created_before.isoformat()
    params["created_before"] = json_created_before

    params["job_id_prefix"] = job_id_prefix

    params["idempotency_key"] = idempotency_key

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/jobs/",
        "params": params,
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ErrorBody | list[Job] | None:
    from ...models.error_body import ErrorBody
    from ...models.job import Job

    if response.status_code == 200:
        response_200 = []
        _response_200 = response.json()
        for response_200_item_data in _response_200:
            response_200_item = Job.from_dict(response_200_item_data)

            response_200.append(response_200_item)

        return response_200

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403, 404, 422})


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    status: JobStatus | Unset = UNSET,
    limit: int | Unset = UNSET,
    before: str | Unset = UNSET,
    release: str | Unset = UNSET,
    action: str | Unset = UNSET,
    created_after: datetime.datetime | Unset = UNSET,
    created_before: datetime.datetime | Unset = UNSET,
    job_id_prefix: str | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | list[Job]]:
    """Return the whole response."""
    kwargs = build_request(
        status=status,
        limit=limit,
        before=before,
        release=release,
        action=action,
        created_after=created_after,
        created_before=created_before,
        job_id_prefix=job_id_prefix,
        idempotency_key=idempotency_key,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    status: JobStatus | Unset = UNSET,
    limit: int | Unset = UNSET,
    before: str | Unset = UNSET,
    release: str | Unset = UNSET,
    action: str | Unset = UNSET,
    created_after: datetime.datetime | Unset = UNSET,
    created_before: datetime.datetime | Unset = UNSET,
    job_id_prefix: str | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | list[Job] | None:
    """List jobs.

    Job records, newest first. Lists omit a `result` of more than 64 kB and `params` of more than 4 kB; `GET
    /jobs/{job_id}/` has them.

    Args:
        status (JobStatus | Unset): A state of jobs. In answers the list is open, since newer agents may
            have others.
    """

    return sync_detailed(
        client=client,
        status=status,
        limit=limit,
        before=before,
        release=release,
        action=action,
        created_after=created_after,
        created_before=created_before,
        job_id_prefix=job_id_prefix,
        idempotency_key=idempotency_key,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    status: JobStatus | Unset = UNSET,
    limit: int | Unset = UNSET,
    before: str | Unset = UNSET,
    release: str | Unset = UNSET,
    action: str | Unset = UNSET,
    created_after: datetime.datetime | Unset = UNSET,
    created_before: datetime.datetime | Unset = UNSET,
    job_id_prefix: str | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | list[Job]]:
    """Return the whole response."""
    kwargs = build_request(
        status=status,
        limit=limit,
        before=before,
        release=release,
        action=action,
        created_after=created_after,
        created_before=created_before,
        job_id_prefix=job_id_prefix,
        idempotency_key=idempotency_key,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    status: JobStatus | Unset = UNSET,
    limit: int | Unset = UNSET,
    before: str | Unset = UNSET,
    release: str | Unset = UNSET,
    action: str | Unset = UNSET,
    created_after: datetime.datetime | Unset = UNSET,
    created_before: datetime.datetime | Unset = UNSET,
    job_id_prefix: str | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | list[Job] | None:
    """List jobs.

    Job records, newest first. Lists omit a `result` of more than 64 kB and `params` of more than 4 kB; `GET
    /jobs/{job_id}/` has them.

    Args:
        status (JobStatus | Unset): A state of jobs. In answers the list is open, since newer agents may
            have others.
    """

    return (
        await asyncio_detailed(
            client=client,
            status=status,
            limit=limit,
            before=before,
            release=release,
            action=action,
            created_after=created_after,
            created_before=created_before,
            job_id_prefix=job_id_prefix,
            idempotency_key=idempotency_key,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
