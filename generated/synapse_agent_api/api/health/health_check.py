# Generated from openapi.yaml by `make generate`. Don't edit.


"""GET /health/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...types import Response

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error import Error
    from ...models.health import Health


OPERATION_ID = "health_check"
SUCCESS = {
    200: "object",
}
"""What the body of a good answer is, by status: JSON ("object", "array" or "any"), "text", "bytes" or "empty"."""


def build_request() -> dict[str, Any]:
    """Build the request without sending it: the keyword arguments for `request()` of the HTTP library's clients."""

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/health/",
    }
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Error | Health | None:
    from ...models.error import Error
    from ...models.health import Health

    if response.status_code == 200:
        response_200 = Health.from_dict(response.json())

        return response_200

    if response.status_code == 403:
        response_403 = Error.from_dict(response.json())

        return response_403

    if client.raise_on_unexpected_status:
        raise client.unexpected(response)
    return None


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Error | Health]:
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
) -> Response[Error | Health]:
    """Do as `sync` does, and give status and headers besides."""
    kwargs = build_request()
    return _build_response(client=client, response=client.get_httpx_client().request(**kwargs))


def sync(
    *,
    client: AuthenticatedClient | Client,
) -> Error | Health | None:
    """Check that the agent answers.

    Answers without authentication too; clients send their headers all the same.
    """

    return sync_detailed(
        client=client,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
) -> Response[Error | Health]:
    """Do as `asyncio` does, and give status and headers besides."""
    kwargs = build_request()
    return _build_response(client=client, response=await client.get_async_httpx_client().request(**kwargs))


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
) -> Error | Health | None:
    """Check that the agent answers.

    Answers without authentication too; clients send their headers all the same.
    """

    return (
        await asyncio_detailed(
            client=client,
        )
    ).parsed
