# By `make generate`. Don't edit.


"""DELETE /serve_applications/{name}/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ...parsed_response import parsed_error, parsed_response
from ...path import segment
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody


OPERATION_ID = "delete_serve_application"
SUCCESS = {
    204: "empty",
}


def build_request(
    name: str,
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
        "url": f"/serve_applications/{segment(name)}/",
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Any | ErrorBody | None:
    from ...models.error_body import ErrorBody

    if response.status_code == 204:
        return cast(Any, None)

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403, 404, 422})


def sync_detailed(
    name: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Any | ErrorBody]:
    """Return the whole response."""
    kwargs = build_request(
        name=name,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    name: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Any | ErrorBody | None:
    """End the workers of a served action.

    Ends the workers; running calls finish first. The next call starts new workers.

    Args:
        name (str): `code@version:action`, followed by `+` and a hash if callers add requirements; not `.`
            or `..`, no control
            characters.
    """

    return sync_detailed(
        name=name,
        client=client,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    name: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Any | ErrorBody]:
    """Return the whole response."""
    kwargs = build_request(
        name=name,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    name: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Any | ErrorBody | None:
    """End the workers of a served action.

    Ends the workers; running calls finish first. The next call starts new workers.

    Args:
        name (str): `code@version:action`, followed by `+` and a hash if callers add requirements; not `.`
            or `..`, no control
            characters.
    """

    return (
        await asyncio_detailed(
            name=name,
            client=client,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
