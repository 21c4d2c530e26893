"""Is the agent there, and how does its operator look after it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse_sdk.clients.agent._request import calls

if TYPE_CHECKING:
    from synapse_agent_api.typed_dicts import Backup, Health
    from synapse_sdk.clients.agent._session.session import AsyncSession, Session


class HealthClientMixin:
    """The health check of an agent's client, and its backup."""

    _session: Session

    def health_check(self) -> Health:
        """Ask the agent how it is; agents answer this without a token too."""
        health: Health = self._session.send(calls.health_check())
        return health

    def create_backup(self) -> Backup:
        """Have the agent write a copy of its database into its data folder, and return where it is."""
        backup: Backup = self._session.send(calls.create_backup())
        return backup


class AsyncHealthClientMixin:
    """The asynchronous twin of `HealthClientMixin`."""

    _session: AsyncSession

    async def health_check(self) -> Health:
        """Ask the agent how it is; agents answer this without a token too."""
        health: Health = await self._session.send(calls.health_check())
        return health

    async def create_backup(self) -> Backup:
        """Have the agent write a copy of its database into its data folder, and return where it is."""
        backup: Backup = await self._session.send(calls.create_backup())
        return backup
