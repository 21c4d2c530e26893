"""Served actions on an agent: the workers that hold them, listed and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse_sdk.clients.agent._request import calls

if TYPE_CHECKING:
    from synapse_agent_api.typed_dicts import ServeApplication
    from synapse_sdk.clients.agent._session.session import AsyncSession, Session


class ServeClientMixin:
    """The methods of an agent's client for actions of the method `serve`, which workers hold from run to run.

    Besides what a method names, each raises a `synapse_sdk.exceptions.ClientError`, and `TypeError` or `ValueError` for
    arguments that can't be right.
    """

    _session: Session

    def list_serve_applications(self) -> list[ServeApplication]:
        """List the actions that workers hold now, the oldest first."""
        found: list[ServeApplication] = self._session.send(calls.list_serve_applications())
        return found

    def get_serve_application(self, name: str) -> ServeApplication:
        """Get one of them, with its workers.

        Args:
            name: `code@version:action`, as `list_serve_applications` has it.

        Raises:
            NotFoundError: No workers hold it: no call has started it yet, or they were idle for too long.
        """
        found: ServeApplication = self._session.send(calls.get_serve_application(name))
        return found

    def delete_serve_application(self, name: str) -> None:
        """End its workers, once the calls that they have are over; the next call of the action starts new ones.

        Raises:
            NotFoundError: No workers hold it.
        """
        self._session.send(calls.delete_serve_application(name))


class AsyncServeClientMixin:
    """The asynchronous twin of `ServeClientMixin`, which has the methods' descriptions."""

    _session: AsyncSession

    async def list_serve_applications(self) -> list[ServeApplication]:
        """List the actions that workers hold now, the oldest first."""
        found: list[ServeApplication] = await self._session.send(calls.list_serve_applications())
        return found

    async def get_serve_application(self, name: str) -> ServeApplication:
        """Get one of them, with its workers."""
        found: ServeApplication = await self._session.send(calls.get_serve_application(name))
        return found

    async def delete_serve_application(self, name: str) -> None:
        """End its workers, once the calls that they have are over; the next call of the action starts new ones."""
        await self._session.send(calls.delete_serve_application(name))
