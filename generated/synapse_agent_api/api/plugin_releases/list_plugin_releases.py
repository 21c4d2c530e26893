# By `make generate`. Don't edit.


"""GET /plugin_releases/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody
    from ...models.plugin_release_page import PluginReleasePage
    from ...models.release_filters import ReleaseFilters


OPERATION_ID = "list_plugin_releases"
SUCCESS = {
    200: "object",
}


def build_request(
    *,
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    plugin: str | Unset = UNSET,
    version: str | Unset = UNSET,
    name: str | Unset = UNSET,
    category: str | Unset = UNSET,
    filters: ReleaseFilters | Unset = UNSET,
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

    params["page"] = page

    params["page_size"] = page_size

    params["plugin"] = plugin

    params["version"] = version

    params["name"] = name

    params["category"] = category

    json_filters: dict[str, Any] | Unset = UNSET
    if not isinstance(filters, Unset):
        json_filters = filters.to_dict()
    if not isinstance(json_filters, Unset):
        params.update(json_filters)

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/plugin_releases/",
        "params": params,
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | PluginReleasePage | None:
    from ...models.error_body import ErrorBody
    from ...models.plugin_release_page import PluginReleasePage

    if response.status_code == 200:
        return PluginReleasePage.from_dict(response.json())

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403, 404, 422})


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    plugin: str | Unset = UNSET,
    version: str | Unset = UNSET,
    name: str | Unset = UNSET,
    category: str | Unset = UNSET,
    filters: ReleaseFilters | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | PluginReleasePage]:
    """Return the whole response."""
    kwargs = build_request(
        page=page,
        page_size=page_size,
        plugin=plugin,
        version=version,
        name=name,
        category=category,
        filters=filters,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    plugin: str | Unset = UNSET,
    version: str | Unset = UNSET,
    name: str | Unset = UNSET,
    category: str | Unset = UNSET,
    filters: ReleaseFilters | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | PluginReleasePage | None:
    """List the cached releases.

    One page of the releases that the agent has cached, oldest first. Follow `next` until it is `null` for all of
    them; of `next`, only the query matters.

    Args:
        filters (ReleaseFilters | Unset): Further filters, by the name of a release's field.
    """

    return sync_detailed(
        client=client,
        page=page,
        page_size=page_size,
        plugin=plugin,
        version=version,
        name=name,
        category=category,
        filters=filters,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    plugin: str | Unset = UNSET,
    version: str | Unset = UNSET,
    name: str | Unset = UNSET,
    category: str | Unset = UNSET,
    filters: ReleaseFilters | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | PluginReleasePage]:
    """Return the whole response."""
    kwargs = build_request(
        page=page,
        page_size=page_size,
        plugin=plugin,
        version=version,
        name=name,
        category=category,
        filters=filters,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    plugin: str | Unset = UNSET,
    version: str | Unset = UNSET,
    name: str | Unset = UNSET,
    category: str | Unset = UNSET,
    filters: ReleaseFilters | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | PluginReleasePage | None:
    """List the cached releases.

    One page of the releases that the agent has cached, oldest first. Follow `next` until it is `null` for all of
    them; of `next`, only the query matters.

    Args:
        filters (ReleaseFilters | Unset): Further filters, by the name of a release's field.
    """

    return (
        await asyncio_detailed(
            client=client,
            page=page,
            page_size=page_size,
            plugin=plugin,
            version=version,
            name=name,
            category=category,
            filters=filters,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
