"""The agent's health, and operations for its operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse_sdk.clients.agent._request import calls

if TYPE_CHECKING:
    from synapse_agent_api.typed_dicts import Backup, Health, PluginEnvironment, Readiness, SessionCode, Storage
    from synapse_sdk.clients.agent._session.session import AsyncSession, Session


class HealthClientMixin:
    """The methods of an agent's client for health, backup, and signing in browsers."""

    _session: Session

    def health_check(self) -> Health:
        """Get the agent's health; it also answers without a token."""
        health: Health = self._session.send(calls.health_check())
        return health

    def create_backup(self) -> Backup:
        """Write a copy of the agent's database into its data folder, and return the path there."""
        backup: Backup = self._session.send(calls.create_backup())
        return backup

    def create_session_code(self) -> SessionCode:
        """Create a code that signs in a browser once: open the agent's address with `/#code=` and the code."""
        code: SessionCode = self._session.send(calls.create_session_code())
        return code

    def check_readiness(self) -> Readiness:
        """Check that the agent accepts runs; it also answers without a token.

        Raises:
            ServerError: It can't accept runs now; the message has the reason.
        """
        found: Readiness = self._session.send(calls.check_readiness())
        return found

    def list_environments(self) -> list[PluginEnvironment]:
        """List the environments on the agent's machine, the most recently used first."""
        found: list[PluginEnvironment] = self._session.send(calls.list_environments())
        return found

    def get_storage(self) -> Storage:
        """Get the agent's disk usage."""
        found: Storage = self._session.send(calls.get_storage())
        return found


class AsyncHealthClientMixin:
    """The asynchronous twin of `HealthClientMixin`."""

    _session: AsyncSession

    async def health_check(self) -> Health:
        """Get the agent's health; it also answers without a token."""
        health: Health = await self._session.send(calls.health_check())
        return health

    async def create_backup(self) -> Backup:
        """Write a copy of the agent's database into its data folder, and return the path there."""
        backup: Backup = await self._session.send(calls.create_backup())
        return backup

    async def create_session_code(self) -> SessionCode:
        """Create a code that signs in a browser once."""
        code: SessionCode = await self._session.send(calls.create_session_code())
        return code

    async def check_readiness(self) -> Readiness:
        """Check that the agent accepts runs."""
        found: Readiness = await self._session.send(calls.check_readiness())
        return found

    async def list_environments(self) -> list[PluginEnvironment]:
        """List the environments on the agent's machine."""
        found: list[PluginEnvironment] = await self._session.send(calls.list_environments())
        return found

    async def get_storage(self) -> Storage:
        """Get the agent's disk usage."""
        found: Storage = await self._session.send(calls.get_storage())
        return found
