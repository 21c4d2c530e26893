"""Served actions on an agent: list and stop their workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse_sdk.clients.agent._request import calls

if TYPE_CHECKING:
    from synapse_agent_api.typed_dicts import ServeApplication
    from synapse_sdk.clients.agent._session.session import AsyncSession, Session


class ServeClientMixin:
    """The methods of an agent's client for actions of the method `serve`, which workers keep loaded between runs.

    Besides what a method names, each raises a `synapse_sdk.exceptions.ClientError`, and `TypeError` or `ValueError` for
    invalid arguments.
    """

    _session: Session

    def list_serve_applications(self) -> list[ServeApplication]:
        """List the actions that workers hold, the oldest first."""
        found: list[ServeApplication] = self._session.send(calls.list_serve_applications())
        return found

    def get_serve_application(self, name: str) -> ServeApplication:
        """Get a served action with its workers.

        Args:
            name: `code@version:action`, as in `list_serve_applications`.

        Raises:
            NotFoundError: No workers hold it: no call has started it yet, or they were idle for too long.
        """
        found: ServeApplication = self._session.send(calls.get_serve_application(name))
        return found

    def delete_serve_application(self, name: str) -> None:
        """Stop its workers after their current calls; the next call of the action starts new ones.

        Raises:
            NotFoundError: No workers hold it.
        """
        self._session.send(calls.delete_serve_application(name))


class AsyncServeClientMixin:
    """The asynchronous twin of `ServeClientMixin`, which describes the methods."""

    _session: AsyncSession

    async def list_serve_applications(self) -> list[ServeApplication]:
        """List the actions that workers hold, the oldest first."""
        found: list[ServeApplication] = await self._session.send(calls.list_serve_applications())
        return found

    async def get_serve_application(self, name: str) -> ServeApplication:
        """Get a served action with its workers."""
        found: ServeApplication = await self._session.send(calls.get_serve_application(name))
        return found

    async def delete_serve_application(self, name: str) -> None:
        """Stop its workers after their current calls; the next call of the action starts new ones."""
        await self._session.send(calls.delete_serve_application(name))
