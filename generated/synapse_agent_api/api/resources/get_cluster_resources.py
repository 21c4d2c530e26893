# By `make generate`. Don't edit.


"""GET /resources/cluster/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.cluster_resources import ClusterResources
    from ...models.error_body import ErrorBody


OPERATION_ID = "get_cluster_resources"
SUCCESS = {
    200: "object",
}


def build_request(
    *,
    use_cache: bool | Unset = UNSET,
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

    params["use_cache"] = use_cache

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/resources/cluster/",
        "params": params,
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ClusterResources | ErrorBody | None:
    from ...models.cluster_resources import ClusterResources
    from ...models.error_body import ErrorBody

    if response.status_code == 200:
        return ClusterResources.from_dict(response.json())

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403, 422, 503})


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    use_cache: bool | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ClusterResources | ErrorBody]:
    """Return the whole response."""
    kwargs = build_request(
        use_cache=use_cache,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    use_cache: bool | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ClusterResources | ErrorBody | None:
    """Get the resources of all nodes."""

    return sync_detailed(
        client=client,
        use_cache=use_cache,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    use_cache: bool | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ClusterResources | ErrorBody]:
    """Return the whole response."""
    kwargs = build_request(
        use_cache=use_cache,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    use_cache: bool | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ClusterResources | ErrorBody | None:
    """Get the resources of all nodes."""

    return (
        await asyncio_detailed(
            client=client,
            use_cache=use_cache,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
