# By `make generate`. Don't edit.


"""GET /files/{file_id}/content/"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
from ...path import segment
from ...types import UNSET, File, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody


OPERATION_ID = "get_file_content"
SUCCESS = {
    200: "bytes",
    206: "bytes",
}


def build_request(
    file_id: str,
    *,
    range_: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request's arguments."""

    headers: dict[str, Any] = {}
    if not isinstance(range_, Unset):
        headers["Range"] = range_

    if not isinstance(synapse_user, Unset):
        headers["SYNAPSE-User"] = synapse_user

    if not isinstance(synapse_tenant, Unset):
        headers["SYNAPSE-Tenant"] = synapse_tenant

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": f"/files/{segment(file_id)}/content/",
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ErrorBody | File | None:
    from ...models.error_body import ErrorBody

    if response.status_code == 200:
        return File(payload=BytesIO(response.content))

    if response.status_code == 206:
        return File(payload=BytesIO(response.content))

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403, 404, 416, 422})


def sync_detailed(
    file_id: str,
    *,
    client: AuthenticatedClient | Client,
    range_: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | File]:
    """Return the whole response."""
    kwargs = build_request(
        file_id=file_id,
        range_=range_,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    file_id: str,
    *,
    client: AuthenticatedClient | Client,
    range_: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | File | None:
    """Download a file.

    A file that was uploaded, or that a result refers to.
    """

    return sync_detailed(
        file_id=file_id,
        client=client,
        range_=range_,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    file_id: str,
    *,
    client: AuthenticatedClient | Client,
    range_: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | File]:
    """Return the whole response."""
    kwargs = build_request(
        file_id=file_id,
        range_=range_,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    file_id: str,
    *,
    client: AuthenticatedClient | Client,
    range_: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | File | None:
    """Download a file.

    A file that was uploaded, or that a result refers to.
    """

    return (
        await asyncio_detailed(
            file_id=file_id,
            client=client,
            range_=range_,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
