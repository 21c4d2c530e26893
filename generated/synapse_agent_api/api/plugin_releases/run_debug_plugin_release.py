# By `make generate`. Don't edit.


"""POST /plugin_releases/run_debug/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.debug_run_request import DebugRunRequest
    from ...models.error_body import ErrorBody
    from ...models.job import Job


OPERATION_ID = "run_debug_plugin_release"
SUCCESS = {
    200: "any",
    202: "object",
}


def build_request(
    *,
    body: DebugRunRequest,
    idempotency_key: str | Unset = UNSET,
    prefer: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request's arguments."""

    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    if not isinstance(prefer, Unset):
        headers["Prefer"] = prefer

    if not isinstance(synapse_user, Unset):
        headers["SYNAPSE-User"] = synapse_user

    if not isinstance(synapse_tenant, Unset):
        headers["SYNAPSE-Tenant"] = synapse_tenant

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": "/plugin_releases/run_debug/",
    }
    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Any | ErrorBody | Job | None:
    from ...models.error_body import ErrorBody
    from ...models.job import Job

    if response.status_code == 200:
        return response.json()

    if response.status_code == 202:
        return Job.from_dict(response.json())

    return parsed_error(client, response, ErrorBody.from_dict, {400, 401, 403, 408, 409, 413, 415, 422, 429, 500, 503})


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: DebugRunRequest,
    idempotency_key: str | Unset = UNSET,
    prefer: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Any | ErrorBody | Job]:
    """Return the whole response."""
    kwargs = build_request(
        body=body,
        idempotency_key=idempotency_key,
        prefer=prefer,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: DebugRunRequest,
    idempotency_key: str | Unset = UNSET,
    prefer: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Any | ErrorBody | Job | None:
    """Run an action from source.

    Runs an action without a release, from a folder on the agent's machine (`plugin_path`), from source in the
    request (`modules`), or from both; modules replace files of the folder. The agent merges `config` into the
    folder's `config.yaml`, key by key; without a folder, it is the whole configuration. The agent keeps only the
    job. Beyond loopback, it accepts debug runs only if its operator allows them.

    Args:
        body (DebugRunRequest): The action to run from source, and its parameters.
    """

    return sync_detailed(
        client=client,
        body=body,
        idempotency_key=idempotency_key,
        prefer=prefer,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: DebugRunRequest,
    idempotency_key: str | Unset = UNSET,
    prefer: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Any | ErrorBody | Job]:
    """Return the whole response."""
    kwargs = build_request(
        body=body,
        idempotency_key=idempotency_key,
        prefer=prefer,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: DebugRunRequest,
    idempotency_key: str | Unset = UNSET,
    prefer: str | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Any | ErrorBody | Job | None:
    """Run an action from source.

    Runs an action without a release, from a folder on the agent's machine (`plugin_path`), from source in the
    request (`modules`), or from both; modules replace files of the folder. The agent merges `config` into the
    folder's `config.yaml`, key by key; without a folder, it is the whole configuration. The agent keeps only the
    job. Beyond loopback, it accepts debug runs only if its operator allows them.

    Args:
        body (DebugRunRequest): The action to run from source, and its parameters.
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            idempotency_key=idempotency_key,
            prefer=prefer,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
