# By `make generate`. Don't edit.


"""GET /job_statistics/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody
    from ...models.job_statistics import JobStatistics


OPERATION_ID = "get_job_statistics"
SUCCESS = {
    200: "object",
}


def build_request(
    *,
    hours: float | Unset = UNSET,
    buckets: int | Unset = UNSET,
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

    params["hours"] = hours

    params["buckets"] = buckets

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/job_statistics/",
        "params": params,
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | JobStatistics | None:
    from ...models.error_body import ErrorBody
    from ...models.job_statistics import JobStatistics

    if response.status_code == 200:
        return JobStatistics.from_dict(response.json())

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403, 422})


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    hours: float | Unset = UNSET,
    buckets: int | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | JobStatistics]:
    """Return the whole response."""
    kwargs = build_request(
        hours=hours,
        buckets=buckets,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    hours: float | Unset = UNSET,
    buckets: int | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | JobStatistics | None:
    """Count jobs over time.

    Jobs by the time at which they were created, in buckets of equal length that end now, oldest first.
    """

    return sync_detailed(
        client=client,
        hours=hours,
        buckets=buckets,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    hours: float | Unset = UNSET,
    buckets: int | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | JobStatistics]:
    """Return the whole response."""
    kwargs = build_request(
        hours=hours,
        buckets=buckets,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    hours: float | Unset = UNSET,
    buckets: int | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | JobStatistics | None:
    """Count jobs over time.

    Jobs by the time at which they were created, in buckets of equal length that end now, oldest first.
    """

    return (
        await asyncio_detailed(
            client=client,
            hours=hours,
            buckets=buckets,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
