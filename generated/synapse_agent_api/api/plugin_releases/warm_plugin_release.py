# Generated from openapi.yaml by `make generate`. Don't edit.


"""POST /plugin_releases/{lookup}/warm/"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...errors import NOT_IN_CONTRACT
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
"""What a good answer holds, by status: JSON ("object", "array" or "any"), "text", "bytes", "events" or "empty"."""


def build_request(
    lookup: str,
    *,
    body: WarmRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    """Build the request without sending it: the keyword arguments for `request()` of the HTTP library's clients."""

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
        response_200 = WarmRelease.from_dict(response.json())

        return response_200

    if response.status_code == 202:
        response_202 = WarmRelease.from_dict(response.json())

        return response_202

    if response.status_code == 400:
        response_400 = ErrorBody.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = ErrorBody.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = ErrorBody.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = ErrorBody.from_dict(response.json())

        return response_404

    if response.status_code == 408:
        response_408 = ErrorBody.from_dict(response.json())

        return response_408

    if response.status_code == 413:
        response_413 = ErrorBody.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = ErrorBody.from_dict(response.json())

        return response_415

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
) -> Response[ErrorBody | WarmRelease]:
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
    lookup: str,
    *,
    client: AuthenticatedClient | Client,
    body: WarmRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | WarmRelease]:
    """Do as `sync` does, and give status and headers besides."""
    kwargs = build_request(
        lookup=lookup,
        body=body,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return _build_response(client=client, response=client.get_httpx_client().request(**kwargs))


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
        synapse_user (str | Unset):
        synapse_tenant (str | Unset):
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
    """Do as `asyncio` does, and give status and headers besides."""
    kwargs = build_request(
        lookup=lookup,
        body=body,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return _build_response(client=client, response=await client.get_async_httpx_client().request(**kwargs))


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
        synapse_user (str | Unset):
        synapse_tenant (str | Unset):
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
