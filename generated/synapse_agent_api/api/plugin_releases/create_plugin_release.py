# By `make generate`. Don't edit.


"""POST /plugin_releases/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.create_plugin_release_request import CreatePluginReleaseRequest
    from ...models.error_body import ErrorBody
    from ...models.plugin_release import PluginRelease


OPERATION_ID = "create_plugin_release"
SUCCESS = {
    200: "object",
    201: "object",
}


def build_request(
    *,
    body: CreatePluginReleaseRequest,
    idempotency_key: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request's arguments."""

    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    if not isinstance(synapse_user, Unset):
        headers["SYNAPSE-User"] = synapse_user

    if not isinstance(synapse_tenant, Unset):
        headers["SYNAPSE-Tenant"] = synapse_tenant

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": "/plugin_releases/",
    }
    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | PluginRelease | None:
    from ...models.error_body import ErrorBody
    from ...models.plugin_release import PluginRelease

    if response.status_code == 200:
        return PluginRelease.from_dict(response.json())

    if response.status_code == 201:
        return PluginRelease.from_dict(response.json())

    return parsed_error(client, response, ErrorBody.from_dict, {400, 401, 403, 404, 408, 413, 415, 422, 502, 503})


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: CreatePluginReleaseRequest,
    idempotency_key: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | PluginRelease]:
    """Return the whole response."""
    kwargs = build_request(
        body=body,
        idempotency_key=idempotency_key,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: CreatePluginReleaseRequest,
    idempotency_key: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | PluginRelease | None:
    """Fetch and cache a release.

    Fetches the release from the agent's source of plugins and caches it. The call can be repeated: for a cached
    release the answer is 200, and the release does not change, unless `refresh` is set.

    Args:
        body (CreatePluginReleaseRequest): The release to fetch and cache.
    """

    return sync_detailed(
        client=client,
        body=body,
        idempotency_key=idempotency_key,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: CreatePluginReleaseRequest,
    idempotency_key: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | PluginRelease]:
    """Return the whole response."""
    kwargs = build_request(
        body=body,
        idempotency_key=idempotency_key,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: CreatePluginReleaseRequest,
    idempotency_key: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | PluginRelease | None:
    """Fetch and cache a release.

    Fetches the release from the agent's source of plugins and caches it. The call can be repeated: for a cached
    release the answer is 200, and the release does not change, unless `refresh` is set.

    Args:
        body (CreatePluginReleaseRequest): The release to fetch and cache.
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            idempotency_key=idempotency_key,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
