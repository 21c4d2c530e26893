# By `make generate`. Don't edit.


"""POST /plugin_releases/{lookup}/run/"""

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
    from ...models.legacy_run_payload import LegacyRunPayload
    from ...models.run_request import RunRequest


OPERATION_ID = "run_plugin_release"
SUCCESS = {
    200: "any",
    202: "object",
}


def build_request(
    lookup: str,
    *,
    body: LegacyRunPayload | RunRequest,
    idempotency_key: str | Unset = UNSET,
    prefer: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request's arguments."""
    from ...models.run_request import RunRequest

    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    if not isinstance(prefer, Unset):
        headers["Prefer"] = prefer

    if not isinstance(synapse_user, Unset):
        headers["SYNAPSE-User"] = synapse_user

    if not isinstance(synapse_tenant, Unset):
        headers["SYNAPSE-Tenant"] = synapse_tenant

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": f"/plugin_releases/{segment(lookup)}/run/",
    }

    if isinstance(body, RunRequest):
        _kwargs["json"] = body.to_dict()
    else:
        _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Any | ErrorBody | Job | None:
    from ...models.error_body import ErrorBody
    from ...models.job import Job

    if response.status_code == 200:
        return response.json()

    if response.status_code == 202:
        return Job.from_dict(response.json())

    return parsed_error(
        client, response, ErrorBody.from_dict, {400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503}
    )


def sync_detailed(
    lookup: str,
    *,
    client: AuthenticatedClient | Client,
    body: LegacyRunPayload | RunRequest,
    idempotency_key: str | Unset = UNSET,
    prefer: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Any | ErrorBody | Job]:
    """Return the whole response."""
    kwargs = build_request(
        lookup=lookup,
        body=body,
        idempotency_key=idempotency_key,
        prefer=prefer,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    lookup: str,
    *,
    client: AuthenticatedClient | Client,
    body: LegacyRunPayload | RunRequest,
    idempotency_key: str | Unset = UNSET,
    prefer: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Any | ErrorBody | Job | None:
    """Run an action of a release.

    Runs one action and answers with its result, any JSON value. For an action whose `method` is `job`, and for
    every action with `Prefer: respond-async`, the answer is 202 with the job record, at once; `GET /jobs/{job_id}/`
    shows how the job ends. An action may take hours: don't set a shorter read timeout.

    Args:
        lookup (str): A release's ID (`123`) or `code@version`; the last `@` separates code and version.
        body (LegacyRunPayload | RunRequest): A run request, or a legacy payload.
    """

    return sync_detailed(
        lookup=lookup,
        client=client,
        body=body,
        idempotency_key=idempotency_key,
        prefer=prefer,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    lookup: str,
    *,
    client: AuthenticatedClient | Client,
    body: LegacyRunPayload | RunRequest,
    idempotency_key: str | Unset = UNSET,
    prefer: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Any | ErrorBody | Job]:
    """Return the whole response."""
    kwargs = build_request(
        lookup=lookup,
        body=body,
        idempotency_key=idempotency_key,
        prefer=prefer,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    lookup: str,
    *,
    client: AuthenticatedClient | Client,
    body: LegacyRunPayload | RunRequest,
    idempotency_key: str | Unset = UNSET,
    prefer: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Any | ErrorBody | Job | None:
    """Run an action of a release.

    Runs one action and answers with its result, any JSON value. For an action whose `method` is `job`, and for
    every action with `Prefer: respond-async`, the answer is 202 with the job record, at once; `GET /jobs/{job_id}/`
    shows how the job ends. An action may take hours: don't set a shorter read timeout.

    Args:
        lookup (str): A release's ID (`123`) or `code@version`; the last `@` separates code and version.
        body (LegacyRunPayload | RunRequest): A run request, or a legacy payload.
    """

    return (
        await asyncio_detailed(
            lookup=lookup,
            client=client,
            body=body,
            idempotency_key=idempotency_key,
            prefer=prefer,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
