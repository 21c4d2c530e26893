# By `make generate`. Don't edit.


"""GET /serve_applications/{name}/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
from ...path import segment
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody
    from ...models.serve_application import ServeApplication


OPERATION_ID = "get_serve_application"
SUCCESS = {
    200: "object",
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
        "method": "GET",
        "url": f"/serve_applications/{segment(name)}/",
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | ServeApplication | None:
    from ...models.error_body import ErrorBody
    from ...models.serve_application import ServeApplication

    if response.status_code == 200:
        return ServeApplication.from_dict(response.json())

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403, 404, 422})


def sync_detailed(
    name: str,
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | ServeApplication]:
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
) -> ErrorBody | ServeApplication | None:
    """Get one served action.

    The workers of an action.

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
) -> Response[ErrorBody | ServeApplication]:
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
) -> ErrorBody | ServeApplication | None:
    """Get one served action.

    The workers of an action.

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
