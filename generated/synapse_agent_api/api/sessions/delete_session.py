# By `make generate`. Don't edit.


"""DELETE /session/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ...parsed_response import parsed_error, parsed_response
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody


OPERATION_ID = "delete_session"
SUCCESS = {
    204: "empty",
}


def build_request(
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
        "url": "/session/",
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Any | ErrorBody | None:
    from ...models.error_body import ErrorBody

    if response.status_code == 204:
        return cast(Any, None)

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403})


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Any | ErrorBody]:
    """Return the whole response."""
    kwargs = build_request(
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Any | ErrorBody | None:
    """Sign a browser out."""

    return sync_detailed(
        client=client,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Any | ErrorBody]:
    """Return the whole response."""
    kwargs = build_request(
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Any | ErrorBody | None:
    """Sign a browser out."""

    return (
        await asyncio_detailed(
            client=client,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
