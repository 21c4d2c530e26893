# Generated from openapi.yaml by `make generate`. Don't edit.


"""GET /plugin_releases/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error import Error
    from ...models.plugin_release_page import PluginReleasePage
    from ...models.release_filters import ReleaseFilters


OPERATION_ID = "list_plugin_releases"
SUCCESS = {
    200: "object",
}
"""What the body of a good answer is, by status: JSON ("object", "array" or "any"), "text", "bytes" or "empty"."""


def build_request(
    *,
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    plugin: str | Unset = UNSET,
    version: str | Unset = UNSET,
    filters: ReleaseFilters | Unset = UNSET,
) -> dict[str, Any]:
    """Build the request without sending it: the keyword arguments for `request()` of the HTTP library's clients."""

    params: dict[str, Any] = {}

    params["page"] = page

    params["page_size"] = page_size

    params["plugin"] = plugin

    params["version"] = version

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
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Error | PluginReleasePage | None:
    from ...models.error import Error
    from ...models.plugin_release_page import PluginReleasePage

    if response.status_code == 200:
        response_200 = PluginReleasePage.from_dict(response.json())

        return response_200

    if response.status_code == 401:
        response_401 = Error.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Error.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Error.from_dict(response.json())

        return response_404

    if response.status_code == 422:
        response_422 = Error.from_dict(response.json())

        return response_422

    if client.raise_on_unexpected_status:
        raise client.unexpected(response)
    return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Error | PluginReleasePage]:
    try:
        parsed = _parse_response(client=client, response=response)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as cause:
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
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    plugin: str | Unset = UNSET,
    version: str | Unset = UNSET,
    filters: ReleaseFilters | Unset = UNSET,
) -> Response[Error | PluginReleasePage]:
    """Do as `sync` does, and give status and headers besides."""
    kwargs = build_request(
        page=page,
        page_size=page_size,
        plugin=plugin,
        version=version,
        filters=filters,
    )
    return _build_response(client=client, response=client.get_httpx_client().request(**kwargs))


def sync(
    *,
    client: AuthenticatedClient | Client,
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    plugin: str | Unset = UNSET,
    version: str | Unset = UNSET,
    filters: ReleaseFilters | Unset = UNSET,
) -> Error | PluginReleasePage | None:
    """List the cached releases.

    One page of the releases that the agent has cached, oldest first. Follow `next` until it is `null` for all of
    them; of `next`, only the query matters.

    Args:
        page (int | Unset):  Default: 1.
        page_size (int | Unset):  Default: 100.
        plugin (str | Unset):
        version (str | Unset):
        filters (ReleaseFilters | Unset): Further filters, by the name of a release's field.
    """

    return sync_detailed(
        client=client,
        page=page,
        page_size=page_size,
        plugin=plugin,
        version=version,
        filters=filters,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    plugin: str | Unset = UNSET,
    version: str | Unset = UNSET,
    filters: ReleaseFilters | Unset = UNSET,
) -> Response[Error | PluginReleasePage]:
    """Do as `asyncio` does, and give status and headers besides."""
    kwargs = build_request(
        page=page,
        page_size=page_size,
        plugin=plugin,
        version=version,
        filters=filters,
    )
    return _build_response(client=client, response=await client.get_async_httpx_client().request(**kwargs))


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    plugin: str | Unset = UNSET,
    version: str | Unset = UNSET,
    filters: ReleaseFilters | Unset = UNSET,
) -> Error | PluginReleasePage | None:
    """List the cached releases.

    One page of the releases that the agent has cached, oldest first. Follow `next` until it is `null` for all of
    them; of `next`, only the query matters.

    Args:
        page (int | Unset):  Default: 1.
        page_size (int | Unset):  Default: 100.
        plugin (str | Unset):
        version (str | Unset):
        filters (ReleaseFilters | Unset): Further filters, by the name of a release's field.
    """

    return (
        await asyncio_detailed(
            client=client,
            page=page,
            page_size=page_size,
            plugin=plugin,
            version=version,
            filters=filters,
        )
    ).parsed
