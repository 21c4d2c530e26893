# By `make generate`. Don't edit.


"""GET /events/"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...parsed_response import parsed_error, parsed_response
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client
    from ...http_library import httpx
    from ...models.error_body import ErrorBody


OPERATION_ID = "stream_events"
SUCCESS = {
    200: "events",
}


def build_request(
    *,
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
        "method": "GET",
        "url": "/events/",
    }
    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ErrorBody | str | None:
    from ...models.error_body import ErrorBody

    if response.status_code == 200:
        return response.text

    return parsed_error(client, response, ErrorBody.from_dict, {401, 403})


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | str]:
    """Return the whole response."""
    kwargs = build_request(
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, client.get_httpx_client().request(**kwargs), _parse_response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | str | None:
    """Follow changes on the agent.

    Changes on the agent from now on, as server-sent events, for pages that show them. Several changes of one object within
    a short time arrive as one event. The data of an event is a JSON object with a `type`:

    - `job`: a job was created, has reported something or has ended; `job` is its record, as in a list.
    - `job_deleted`: the job with this `job_id` was deleted.
    - `release`: `release` was cached (`what` is `created`) or deleted.
    - `environment`: an environment was `made` or `removed`.
    - `agent`: the agent is about to stop; the last event.
    - `reload`: too many changes for single events. Load your data again.

    After a broken connection, load your data again: events have no `id` to resume from. Ignore unknown types.
    """

    return sync_detailed(
        client=client,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[ErrorBody | str]:
    """Return the whole response."""
    kwargs = build_request(
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )
    return parsed_response(client, await client.get_async_httpx_client().request(**kwargs), _parse_response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> ErrorBody | str | None:
    """Follow changes on the agent.

    Changes on the agent from now on, as server-sent events, for pages that show them. Several changes of one object within
    a short time arrive as one event. The data of an event is a JSON object with a `type`:

    - `job`: a job was created, has reported something or has ended; `job` is its record, as in a list.
    - `job_deleted`: the job with this `job_id` was deleted.
    - `release`: `release` was cached (`what` is `created`) or deleted.
    - `environment`: an environment was `made` or `removed`.
    - `agent`: the agent is about to stop; the last event.
    - `reload`: too many changes for single events. Load your data again.

    After a broken connection, load your data again: events have no `id` to resume from. Ignore unknown types.
    """

    return (
        await asyncio_detailed(
            client=client,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
