# By `make generate`. Don't edit.


"""DELETE /plugin_releases/{lookup}"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ...parsed_response import parsed_error, parsed_response
from ...path import segment
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody


OPERATION_ID = "delete_plugin_release"
SUCCESS = {
    204: "empty",
}


def build_request(
    lookup: str,
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
        "url": f"/plugin_releases/{segment(lookup)}",
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Any | ErrorBody | None:
    from ...models.error_body import ErrorBody

    if response.status_code == 204:
        return cast(Any, None)

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403, 404, 422})


def sync_detailed(
    lookup: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Any | ErrorBody]:
    """Return the whole response."""
    kwargs = build_request(
        lookup=lookup,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    lookup: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Any | ErrorBody | None:
    """Delete a cached release.

    Removes the release from the agent's cache. Runs in progress finish normally. An agent accepts the path with and
    without a trailing slash; clients send it as written here.

    Args:
        lookup (str): A release's ID (`123`) or `code@version`; the last `@` separates code and version.
    """

    return sync_detailed(
        lookup=lookup,
        client=client,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    lookup: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Any | ErrorBody]:
    """Return the whole response."""
    kwargs = build_request(
        lookup=lookup,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    lookup: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Any | ErrorBody | None:
    """Delete a cached release.

    Removes the release from the agent's cache. Runs in progress finish normally. An agent accepts the path with and
    without a trailing slash; clients send it as written here.

    Args:
        lookup (str): A release's ID (`123`) or `code@version`; the last `@` separates code and version.
    """

    return (
        await asyncio_detailed(
            lookup=lookup,
            client=client,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
