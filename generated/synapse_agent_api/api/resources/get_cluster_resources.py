# Generated from openapi.yaml by `make generate`. Don't edit.


"""GET /resources/cluster/"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...errors import NOT_IN_CONTRACT
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
"""What a good answer holds, by status: JSON ("object", "array" or "any"), "text", "bytes", "events" or "empty"."""


def build_request(
    *,
    use_cache: bool | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    """Build the request without sending it: the keyword arguments for `request()` of the HTTP library's clients."""

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
        response_200 = ClusterResources.from_dict(response.json())

        return response_200

    if response.status_code == 401:
        response_401 = ErrorBody.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = ErrorBody.from_dict(response.json())

        return response_403

    if response.status_code == 422:
        response_422 = ErrorBody.from_dict(response.json())

        return response_422

    if response.status_code == 503:
        response_503 = ErrorBody.from_dict(response.json())

        return response_503

    with suppress(*NOT_IN_CONTRACT):
        response_default = ErrorBody.from_dict(response.json())

        return response_default

    if client.raise_on_unexpected_status:
        raise client.unexpected(response)
    return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ClusterResources | ErrorBody]:
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
    *,
    client: AuthenticatedClient | Client,
    use_cache: bool | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ClusterResources | ErrorBody]:
    """Do as `sync` does, and give status and headers besides."""
    kwargs = build_request(
        use_cache=use_cache,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return _build_response(client=client, response=client.get_httpx_client().request(**kwargs))


def sync(
    *,
    client: AuthenticatedClient | Client,
    use_cache: bool | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ClusterResources | ErrorBody | None:
    """Get the resources of all nodes.

    Args:
        use_cache (bool | Unset):  Default: True.
        synapse_user (str | Unset):
        synapse_tenant (str | Unset):
    """

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
    """Do as `asyncio` does, and give status and headers besides."""
    kwargs = build_request(
        use_cache=use_cache,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return _build_response(client=client, response=await client.get_async_httpx_client().request(**kwargs))


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    use_cache: bool | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ClusterResources | ErrorBody | None:
    """Get the resources of all nodes.

    Args:
        use_cache (bool | Unset):  Default: True.
        synapse_user (str | Unset):
        synapse_tenant (str | Unset):
    """

    return (
        await asyncio_detailed(
            client=client,
            use_cache=use_cache,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
