# By `make generate`. Don't edit.


"""PUT /files/{file_id}/content/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
from ...path import segment
from ...types import UNSET, File, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody
    from ...models.stored_file import StoredFile


OPERATION_ID = "put_file_content"
SUCCESS = {
    200: "object",
}


def build_request(
    file_id: str,
    *,
    body: File,
    size: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    name: str | Unset = UNSET,
    media_type: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request's arguments."""

    headers: dict[str, Any] = {}
    if not isinstance(synapse_user, Unset):
        headers["SYNAPSE-User"] = synapse_user

    if not isinstance(synapse_tenant, Unset):
        headers["SYNAPSE-Tenant"] = synapse_tenant

    params: dict[str, Any] = {}

    params["size"] = size

    params["offset"] = offset

    params["name"] = name

    params["media_type"] = media_type

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "PUT",
        "url": f"/files/{segment(file_id)}/content/",
        "params": params,
    }
    _kwargs["content"] = body.payload

    headers["Content-Type"] = "application/octet-stream"
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ErrorBody | StoredFile | None:
    from ...models.error_body import ErrorBody
    from ...models.stored_file import StoredFile

    if response.status_code == 200:
        return StoredFile.from_dict(response.json())

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403, 408, 409, 413, 415, 422, 503})


def sync_detailed(
    file_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: File,
    size: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    name: str | Unset = UNSET,
    media_type: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | StoredFile]:
    """Return the whole response."""
    kwargs = build_request(
        file_id=file_id,
        body=body,
        size=size,
        offset=offset,
        name=name,
        media_type=media_type,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    file_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: File,
    size: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    name: str | Unset = UNSET,
    media_type: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | StoredFile | None:
    """Upload a file.

    Send the whole file, or parts that each start at `received` of the previous answer; use small parts behind
    proxies. If a connection breaks, the agent keeps the bytes that have arrived. After the last byte it compares
    the content with its ID.
    """

    return sync_detailed(
        file_id=file_id,
        client=client,
        body=body,
        size=size,
        offset=offset,
        name=name,
        media_type=media_type,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    file_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: File,
    size: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    name: str | Unset = UNSET,
    media_type: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | StoredFile]:
    """Return the whole response."""
    kwargs = build_request(
        file_id=file_id,
        body=body,
        size=size,
        offset=offset,
        name=name,
        media_type=media_type,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    file_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: File,
    size: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    name: str | Unset = UNSET,
    media_type: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | StoredFile | None:
    """Upload a file.

    Send the whole file, or parts that each start at `received` of the previous answer; use small parts behind
    proxies. If a connection breaks, the agent keeps the bytes that have arrived. After the last byte it compares
    the content with its ID.
    """

    return (
        await asyncio_detailed(
            file_id=file_id,
            client=client,
            body=body,
            size=size,
            offset=offset,
            name=name,
            media_type=media_type,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
