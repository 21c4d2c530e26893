# By `make generate`. Don't edit.

"""The response to an operation, with its body parsed, and the errors that all operations share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import NOT_IN_CONTRACT
from .types import Response

if TYPE_CHECKING:
    from .client import AuthenticatedClient, Client
    from .http_library import httpx

T = TypeVar("T")


def parsed_response(
    client: AuthenticatedClient | Client, response: httpx.Response, parse: Callable[..., T | None]
) -> Response[T]:
    """Return a response that an operation's `parse` has parsed; raise the client's error for another body."""
    try:
        parsed: Any = parse(client=client, response=response)
    except NOT_IN_CONTRACT as cause:
        raise client.unexpected(response, cause) from cause
    return Response(status_code=response.status_code, content=response.content, headers=response.headers, parsed=parsed)


def parsed_error(
    client: AuthenticatedClient | Client,
    response: httpx.Response,
    parse: Callable[[Any], T],
    documented: Collection[int],
) -> T | None:
    """Return an error; None for an undocumented status with another body, unless the client raises an error then."""
    try:
        return parse(response.json())
    except NOT_IN_CONTRACT:
        if response.status_code in documented:
            raise
    if client.raise_on_unexpected_status:
        raise client.unexpected(response)
    return None
