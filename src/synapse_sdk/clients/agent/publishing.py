"""Publish an archive on this machine as a release on an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._session import uploads

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from synapse_agent_api.typed_dicts import PluginRelease
    from synapse_sdk.clients.agent._session.session import AsyncSession, Session


class PublishingClientMixin:
    """The methods of an agent's client that publish releases, on an agent that allows it (`--allow-push`)."""

    _session: Session

    def push_plugin_release(
        self, archive: str | Path | BinaryIO, *, replace: bool = False, deadline: float | None = None
    ) -> PluginRelease:
        """Upload an archive of a plugin, and cache it as the release in its `config.yaml`.

        Data that the agent already has is not sent. The same archive is the same release.

        Args:
            archive: Path of a zip archive of the plugin's folder, or the archive itself, open in binary mode.
            replace: Replace a cached release of that code and version with other files. It keeps its ID.
            deadline: Seconds for the whole method.

        Raises:
            ConflictError: The agent has that code and version with other files; raise the version, or pass `replace`.
            AuthorizationError: The agent does not allow uploaded releases.
            ValidationError: The archive is damaged, or does not contain a valid plugin.
        """
        limit = self._session.limit("pushing a release", deadline)
        reference = self._session.drive(uploads.one(archive, None, limit))
        request = calls.push_plugin_release(reference, replace=replace)
        release: PluginRelease = self._session.send(request, deadline=limit.left())
        return release


class AsyncPublishingClientMixin:
    """The asynchronous twin of `PublishingClientMixin`, which describes the methods."""

    _session: AsyncSession

    async def push_plugin_release(
        self, archive: str | Path | BinaryIO, *, replace: bool = False, deadline: float | None = None
    ) -> PluginRelease:
        """Upload an archive of a plugin, and cache it as the release in its `config.yaml`."""
        limit = self._session.limit("pushing a release", deadline)
        reference = await self._session.drive(uploads.one(archive, None, limit))
        request = calls.push_plugin_release(reference, replace=replace)
        release: PluginRelease = await self._session.send(request, deadline=limit.left())
        return release
