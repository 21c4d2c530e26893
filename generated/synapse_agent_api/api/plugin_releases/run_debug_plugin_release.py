# Generated from openapi.yaml by `make generate`. Don't edit.


"""POST /plugin_releases/run_debug/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.debug_run_request import DebugRunRequest
    from ...models.error import Error
    from ...models.job import Job


OPERATION_ID = "run_debug_plugin_release"
SUCCESS = {
    200: "any",
    202: "object",
}
"""What the body of a good answer is, by status: JSON ("object", "array" or "any"), "text", "bytes" or "empty"."""


def build_request(
    *,
    body: DebugRunRequest,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    """Build the request without sending it: the keyword arguments for `request()` of the HTTP library's clients."""

    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": "/plugin_releases/run_debug/",
    }
    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Any | Error | Job | None:
    from ...models.error import Error
    from ...models.job import Job

    if response.status_code == 200:
        response_200 = response.json()
        return response_200

    if response.status_code == 202:
        response_202 = Job.from_dict(response.json())

        return response_202

    if response.status_code == 400:
        response_400 = Error.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Error.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Error.from_dict(response.json())

        return response_403

    if response.status_code == 408:
        response_408 = Error.from_dict(response.json())

        return response_408

    if response.status_code == 409:
        response_409 = Error.from_dict(response.json())

        return response_409

    if response.status_code == 413:
        response_413 = Error.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = Error.from_dict(response.json())

        return response_415

    if response.status_code == 422:
        response_422 = Error.from_dict(response.json())

        return response_422

    if response.status_code == 429:
        response_429 = Error.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = Error.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = Error.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise client.unexpected(response)
    return None


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Any | Error | Job]:
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
    body: DebugRunRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[Any | Error | Job]:
    """Do as `sync` does, and give status and headers besides."""
    kwargs = build_request(
        body=body,
        idempotency_key=idempotency_key,
    )
    return _build_response(client=client, response=client.get_httpx_client().request(**kwargs))


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: DebugRunRequest,
    idempotency_key: str | Unset = UNSET,
) -> Any | Error | Job | None:
    """Run an action from source.

    Runs an action without a release, from a folder on the agent's machine (`plugin_path`), from source that the request
    brings (`modules`), or from both, the modules laid over the folder. `config` is merged over the folder's
    `config.yaml`, key by key, and may be the whole of it. Nothing stays behind but the job. An agent that listens
    beyond its own machine takes debug runs only where whoever runs it allows them.

    Args:
        idempotency_key (str | Unset):
        body (DebugRunRequest): What to run from source, and with what.
    """

    return sync_detailed(
        client=client,
        body=body,
        idempotency_key=idempotency_key,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: DebugRunRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[Any | Error | Job]:
    """Do as `asyncio` does, and give status and headers besides."""
    kwargs = build_request(
        body=body,
        idempotency_key=idempotency_key,
    )
    return _build_response(client=client, response=await client.get_async_httpx_client().request(**kwargs))


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: DebugRunRequest,
    idempotency_key: str | Unset = UNSET,
) -> Any | Error | Job | None:
    """Run an action from source.

    Runs an action without a release, from a folder on the agent's machine (`plugin_path`), from source that the request
    brings (`modules`), or from both, the modules laid over the folder. `config` is merged over the folder's
    `config.yaml`, key by key, and may be the whole of it. Nothing stays behind but the job. An agent that listens
    beyond its own machine takes debug runs only where whoever runs it allows them.

    Args:
        idempotency_key (str | Unset):
        body (DebugRunRequest): What to run from source, and with what.
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed
