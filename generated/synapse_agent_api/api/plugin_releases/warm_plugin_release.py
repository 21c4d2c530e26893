# By `make generate`. Don't edit.


"""POST /plugin_releases/{lookup}/warm/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
from ...path import segment
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody
    from ...models.warm_release import WarmRelease
    from ...models.warm_request import WarmRequest


OPERATION_ID = "warm_plugin_release"
SUCCESS = {
    200: "object",
    202: "object",
}


def build_request(
    lookup: str,
    *,
    body: WarmRequest,
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
        "method": "POST",
        "url": f"/plugin_releases/{segment(lookup)}/warm/",
    }
    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | WarmRelease | None:
    from ...models.error_body import ErrorBody
    from ...models.warm_release import WarmRelease

    if response.status_code == 200:
        return WarmRelease.from_dict(response.json())

    if response.status_code == 202:
        return WarmRelease.from_dict(response.json())

    return parsed_error(client, response, ErrorBody.from_dict, {400, 401, 403, 404, 408, 413, 415, 422, 503})


def sync_detailed(
    lookup: str,
    *,
    client: AuthenticatedClient | Client,
    body: WarmRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | WarmRelease]:
    """Return the whole response."""
    kwargs = build_request(
        lookup=lookup,
        body=body,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    lookup: str,
    *,
    client: AuthenticatedClient | Client,
    body: WarmRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | WarmRelease | None:
    """Prepare a release for its first run.

    Makes the release's environment and starts the process that its runs are forked from, so that the first caller
    does not wait for them. No action runs. If this takes more than some seconds, the answer is 202, and the agent
    continues; repeat the request to wait longer. For a release that is ready, the request changes nothing.

    Args:
        lookup (str): A release's ID (`123`) or `code@version`; the last `@` separates code and version.
        body (WarmRequest): What to prepare.
    """

    return sync_detailed(
        lookup=lookup,
        client=client,
        body=body,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    lookup: str,
    *,
    client: AuthenticatedClient | Client,
    body: WarmRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | WarmRelease]:
    """Return the whole response."""
    kwargs = build_request(
        lookup=lookup,
        body=body,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    lookup: str,
    *,
    client: AuthenticatedClient | Client,
    body: WarmRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | WarmRelease | None:
    """Prepare a release for its first run.

    Makes the release's environment and starts the process that its runs are forked from, so that the first caller
    does not wait for them. No action runs. If this takes more than some seconds, the answer is 202, and the agent
    continues; repeat the request to wait longer. For a release that is ready, the request changes nothing.

    Args:
        lookup (str): A release's ID (`123`) or `code@version`; the last `@` separates code and version.
        body (WarmRequest): What to prepare.
    """

    return (
        await asyncio_detailed(
            lookup=lookup,
            client=client,
            body=body,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
