# Generated from openapi.yaml by `make generate`. Don't edit.


"""POST /backup/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...types import Response

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.backup import Backup
    from ...models.error import Error


OPERATION_ID = "create_backup"
SUCCESS = {
    200: "object",
}
"""What the body of a good answer is, by status: JSON ("object", "array" or "any"), "text", "bytes" or "empty"."""


def build_request() -> dict[str, Any]:
    """Build the request without sending it: the keyword arguments for `request()` of the HTTP library's clients."""

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": "/backup/",
    }
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Backup | Error | None:
    from ...models.backup import Backup
    from ...models.error import Error

    if response.status_code == 200:
        response_200 = Backup.from_dict(response.json())

        return response_200

    if response.status_code == 401:
        response_401 = Error.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Error.from_dict(response.json())

        return response_403

    if response.status_code == 503:
        response_503 = Error.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise client.unexpected(response)
    return None


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Backup | Error]:
    try:
        parsed = _parse_response(client=client, response=response)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as cause:
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
) -> Response[Backup | Error]:
    """Do as `sync` does, and give status and headers besides."""
    kwargs = build_request()
    return _build_response(client=client, response=client.get_httpx_client().request(**kwargs))


def sync(
    *,
    client: AuthenticatedClient | Client,
) -> Backup | Error | None:
    """Back up the agent's database.

    Write a copy of the database, as it is now, into the agent's data folder, in the place of the copy before. Nobody
    else can read the database while the agent runs. To restore, put the copy in the place of `agent.sqlite3`, beside
    the folders `releases` and `jobs`.
    """

    return sync_detailed(
        client=client,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
) -> Response[Backup | Error]:
    """Do as `asyncio` does, and give status and headers besides."""
    kwargs = build_request()
    return _build_response(client=client, response=await client.get_async_httpx_client().request(**kwargs))


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
) -> Backup | Error | None:
    """Back up the agent's database.

    Write a copy of the database, as it is now, into the agent's data folder, in the place of the copy before. Nobody
    else can read the database while the agent runs. To restore, put the copy in the place of `agent.sqlite3`, beside
    the folders `releases` and `jobs`.
    """

    return (
        await asyncio_detailed(
            client=client,
        )
    ).parsed
