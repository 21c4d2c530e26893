"""Is the agent there, and how does its operator look after it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse_sdk.clients.agent._request import calls

if TYPE_CHECKING:
    from synapse_agent_api.typed_dicts import Backup, Health, PluginEnvironment, Readiness, SessionCode, Storage
    from synapse_sdk.clients.agent._session.session import AsyncSession, Session


class HealthClientMixin:
    """The health check of an agent's client, its backup, and the code that signs a browser in."""

    _session: Session

    def health_check(self) -> Health:
        """Ask the agent how it is; agents answer this without a token too."""
        health: Health = self._session.send(calls.health_check())
        return health

    def create_backup(self) -> Backup:
        """Have the agent write a copy of its database into its data folder, and return its path."""
        backup: Backup = self._session.send(calls.create_backup())
        return backup

    def create_session_code(self) -> SessionCode:
        """Make a code that signs a browser in once: open the agent's address with `/#code=` and the code behind it."""
        code: SessionCode = self._session.send(calls.create_session_code())
        return code

    def check_readiness(self) -> Readiness:
        """Check that the agent takes runs; it answers this without a token too.

        Raises:
            ServerError: It can take no run now; the message has the reason.
        """
        found: Readiness = self._session.send(calls.check_readiness())
        return found

    def list_environments(self) -> list[PluginEnvironment]:
        """List the environments on the agent's machine, the most recently used first."""
        found: list[PluginEnvironment] = self._session.send(calls.list_environments())
        return found

    def get_storage(self) -> Storage:
        """See what the agent keeps on its disk, and how much of it."""
        found: Storage = self._session.send(calls.get_storage())
        return found


class AsyncHealthClientMixin:
    """The asynchronous twin of `HealthClientMixin`."""

    _session: AsyncSession

    async def health_check(self) -> Health:
        """Ask the agent how it is; agents answer this without a token too."""
        health: Health = await self._session.send(calls.health_check())
        return health

    async def create_backup(self) -> Backup:
        """Have the agent write a copy of its database into its data folder, and return its path."""
        backup: Backup = await self._session.send(calls.create_backup())
        return backup

    async def create_session_code(self) -> SessionCode:
        """Make a code that signs a browser in once."""
        code: SessionCode = await self._session.send(calls.create_session_code())
        return code

    async def check_readiness(self) -> Readiness:
        """Check that the agent takes runs."""
        found: Readiness = await self._session.send(calls.check_readiness())
        return found

    async def list_environments(self) -> list[PluginEnvironment]:
        """List the environments on the agent's machine."""
        found: list[PluginEnvironment] = await self._session.send(calls.list_environments())
        return found

    async def get_storage(self) -> Storage:
        """See what the agent keeps on its disk."""
        found: Storage = await self._session.send(calls.get_storage())
        return found
