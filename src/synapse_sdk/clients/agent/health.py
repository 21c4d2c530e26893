"""Is the agent there?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse_sdk.clients.agent._request import calls

if TYPE_CHECKING:
    from synapse_agent_api.typed_dicts import Health
    from synapse_sdk.clients.agent._session.session import AsyncSession, Session


class HealthClientMixin:
    """The health check of an agent's client."""

    _session: Session

    def health_check(self) -> Health:
        """Ask the agent how it is; agents answer this without a token too."""
        health: Health = self._session.send(calls.health_check())
        return health


class AsyncHealthClientMixin:
    """The asynchronous twin of `HealthClientMixin`."""

    _session: AsyncSession

    async def health_check(self) -> Health:
        """Ask the agent how it is; agents answer this without a token too."""
        health: Health = await self._session.send(calls.health_check())
        return health
