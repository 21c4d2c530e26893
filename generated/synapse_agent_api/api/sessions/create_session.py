# Generated from openapi.yaml by `make generate`. Don't edit.


"""POST /session/"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...errors import NOT_IN_CONTRACT
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody
    from ...models.session import Session
    from ...models.session_request import SessionRequest


OPERATION_ID = "create_session"
SUCCESS = {
    200: "object",
}
"""What a good answer holds, by status: JSON ("object", "array" or "any"), "text", "bytes", "events" or "empty"."""


def build_request(
    *,
    body: SessionRequest,
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
        "url": "/session/",
    }
    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ErrorBody | Session | None:
    from ...models.error_body import ErrorBody
    from ...models.session import Session

    if response.status_code == 200:
        response_200 = Session.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = ErrorBody.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = ErrorBody.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = ErrorBody.from_dict(response.json())

        return response_403

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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[ErrorBody | Session]:
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
    body: SessionRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | Session]:
    """Do as `sync` does, and give status and headers besides."""
    kwargs = build_request(
        body=body,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return _build_response(client=client, response=client.get_httpx_client().request(**kwargs))


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: SessionRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | Session | None:
    """Sign a browser in.

    Accepts the token, or a code of `create_session_code`, and sets an HttpOnly cookie that replaces the token for
    12 hours, for images, links and `EventSource`, which can't send a header. Requests with the cookie that change
    something also need the header `Synapse-Agent-Page`, with any value. Needs no token itself.

    Args:
        synapse_user (str | Unset):
        synapse_tenant (str | Unset):
        body (SessionRequest): Either a token or a code.
    """

    return sync_detailed(
        client=client,
        body=body,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: SessionRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | Session]:
    """Do as `asyncio` does, and give status and headers besides."""
    kwargs = build_request(
        body=body,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return _build_response(client=client, response=await client.get_async_httpx_client().request(**kwargs))


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: SessionRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | Session | None:
    """Sign a browser in.

    Accepts the token, or a code of `create_session_code`, and sets an HttpOnly cookie that replaces the token for
    12 hours, for images, links and `EventSource`, which can't send a header. Requests with the cookie that change
    something also need the header `Synapse-Agent-Page`, with any value. Needs no token itself.

    Args:
        synapse_user (str | Unset):
        synapse_tenant (str | Unset):
        body (SessionRequest): Either a token or a code.
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
