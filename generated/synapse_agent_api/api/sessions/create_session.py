# By `make generate`. Don't edit.


"""POST /session/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
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


def build_request(
    *,
    body: SessionRequest,
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
        return Session.from_dict(response.json())

    return parsed_error(client, response, ErrorBody.from_dict, {400, 401, 403, 408, 413, 415, 422, 503})


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: SessionRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | Session]:
    """Return the whole response."""
    kwargs = build_request(
        body=body,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


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
    """Return the whole response."""
    kwargs = build_request(
        body=body,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


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
