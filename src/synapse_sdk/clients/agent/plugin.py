"""Plugin releases on an agent: list, get, cache, delete and run them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Literal, overload

from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._request.arguments import check_count
from synapse_sdk.clients.agent._response.errors import Accepted
from synapse_sdk.clients.agent._session import pagination
from synapse_sdk.clients.agent._session.run_listeners import RunListeners

if TYPE_CHECKING:
    from synapse_agent_api.typed_dicts import PluginRelease, PluginReleasePage, WarmRelease
    from synapse_sdk.clients.agent._request.config import Timeout
    from synapse_sdk.clients.agent._session.session import AsyncSession, Session
    from synapse_sdk.clients.agent._session.steps import Limit


class PluginClientMixin:
    """The plugin release methods of an agent's client.

    Each returns the agent's JSON unchanged. Besides what a method names, each raises a
    `synapse_sdk.exceptions.ClientError`, and `TypeError` or `ValueError` for invalid arguments.
    """

    _session: Session

    @overload
    def list_plugin_releases(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        list_all: Literal[False] = False,
        max_concurrency: int = 4,
    ) -> PluginReleasePage: ...

    @overload
    def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: Literal[True], max_concurrency: int = 4
    ) -> tuple[list[PluginRelease], int]: ...

    @overload
    def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: bool, max_concurrency: int = 4
    ) -> PluginReleasePage | tuple[list[PluginRelease], int]: ...

    def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: bool = False, max_concurrency: int = 4
    ) -> PluginReleasePage | tuple[list[PluginRelease], int]:
        """List the releases that the agent has cached.

        Args:
            params: Filters, passed on as the query: `page`, `page_size`, `plugin`, `version` and any other that
                the agent supports. Filters that are None are omitted.
            list_all: Fetch all pages.
            max_concurrency: Maximum number of pages to fetch at once with `list_all`.

        Returns:
            A page, `{"count", "next", "previous", "results"}`; with `list_all`, all releases and their number.
        """
        if list_all:
            limit = self._session.limit("listing releases")
            return self._session.drive(pagination.all_releases(params, limit), check_count(max_concurrency))
        page: PluginReleasePage = self._session.send(calls.list_plugin_releases(params))
        return page

    def iter_plugin_releases(self, params: Mapping[str, Any] | None = None) -> Iterator[PluginRelease]:
        """Yield all releases, page by page, with at most one page in memory.

        Args:
            params: Filters, as for `list_plugin_releases`; `page_size` limits what is in memory.
        """
        walk = pagination.Paginator(params)
        return self._iterate(walk)

    def _iterate(self, walk: pagination.Paginator) -> Iterator[PluginRelease]:
        while walk.next is not None:
            yield from walk.take(self._session.send(walk.next)).results

    def get_plugin_release(self, lookup: str | int) -> PluginRelease:
        """Get a release by its ID (`123`) or as `code@version`.

        Raises:
            NotFoundError: The agent has no such release.
            InvalidLookupError: The lookup can't name a release; nothing was sent.
        """
        release: PluginRelease = self._session.send(calls.get_plugin_release(lookup))
        return release

    def create_plugin_release(self, plugin: str, version: str | None = None, *, refresh: bool = False) -> PluginRelease:
        """Fetch and cache a release on the agent; a cached one is returned unchanged.

        If its source has changed since it was cached, the returned release has `source_changed: true`.

        Args:
            plugin: The plugin's code.
            version: The version, as text; by default the only one in the agent's source of plugins.
            refresh: Fetch the release again if it is cached. It keeps its ID; runs that have begun keep the old files.

        Raises:
            NotFoundError: The agent's sources of plugins don't have the release.
            ValidationError: The source has no valid plugin there; or no version was passed, and there are
                several, which the message lists.
        """
        release: PluginRelease = self._session.send(calls.create_plugin_release(plugin, version, refresh=refresh))
        return release

    def delete_plugin_release(self, lookup: str | int) -> None:
        """Delete a cached release; runs in progress finish normally.

        Raises:
            NotFoundError: The agent has no such release.
            InvalidLookupError: The lookup can't name a release; nothing was sent.
        """
        self._session.send(calls.delete_plugin_release(lookup))

    def warm_plugin_release(self, lookup: str | int, action: str | None = None) -> WarmRelease:
        """Prepare a release on the agent, so that its first run need not wait for its environment and process.

        Its `status` is `ready`, or `starting` if that takes longer; another call continues to wait.

        Args:
            lookup: The release, by its ID or as `code@version`.
            action: The action to prepare; all by default.

        Raises:
            NotFoundError: The agent has no such release.
            ValidationError: The release has no such action, or its requirements can't be installed.
        """
        warm: WarmRelease = self._session.send(calls.warm_plugin_release(lookup, action))
        return warm

    def run_plugin_release(
        self,
        lookup: str | int,
        action: str | None = None,
        params: Mapping[str, Any] | None = None,
        *,
        data: Mapping[str, Any] | None = None,
        requirements: Sequence[str] | None = None,
        job_id: str | None = None,
        language: str | None = None,
        priority: int | None = None,
        background: bool = False,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        on_log: Callable[[str], object] | None = None,
        on_progress: Callable[[float, float | None], object] | None = None,
    ) -> Any:
        """Run an action of a release and return its result, which may be any JSON value.

        For an action whose `method` is `job`, and with `background`, the agent answers at once with the
        job's record; `wait_for_job` waits for its end.

        Args:
            lookup: The release's ID, or `code@version`.
            action: Name of the action; required unless `data` is given.
            params: The parameters to call the action with.
            data: The whole payload, sent unchanged; the other fields are then ignored, with a warning.
            requirements: PEP 508 requirements in addition to the plugin's own.
            job_id: An ID for the run; random by default.
            language: Language of the action's messages, as an ISO 639-1 code such as `en`.
            priority: Of a release's waiting runs, those of higher priority start first; 0 by default.
            background: Return the job's record at once, whatever the action's `method`.
            timeout: Seconds, `{"connect": …, "read": …}` or `(connect, read)`. By default there is no limit for
                the result.
            deadline: Seconds for the whole call, all attempts and the waits between them.
            on_log: Called with each line that the action prints, during the run, such as `on_log=print`. With an async
                client it may be a coroutine function. If it raises, the call does, and the job continues.
            on_progress: Called with `current` and `total` when the action reports its progress; `total` may be None.
                With either of these functions the call returns the result, even if the action's `method` is `job`.

        Raises:
            ActionFailedError: The action ran and raised; the error has its traceback.
            ServerError: It failed in another way, stated by `error_type`, such as `action_timeout`.
            ValidationError: The agent refused the run: no such action, or invalid params.
            RequirementsError: The run's requirements could not be installed.
            NotFoundError: The agent has no such release.
            InvalidLookupError: The lookup can't name a release; nothing was sent.
            ResponseParseError: With `background`: the agent can't do that and has run the action to its end.
        """
        listeners = RunListeners(on_log, on_progress)
        request = calls.run_plugin_release(
            lookup,
            action,
            data=data,
            params=params,
            requirements=requirements,
            job_id=job_id,
            language=language,
            priority=priority,
            wanted=listeners.wanted(background=background),
        )
        limit = self._session.limit("running an action; the job continues", deadline)
        answer = self._session.run(request, timeout=timeout, deadline=deadline)
        return self._ended(answer, listeners, limit)

    def run_debug_plugin_release(
        self,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        plugin_path: str | os.PathLike[str] | None = None,
        config: Mapping[str, Any] | None = None,
        modules: Mapping[str, str] | None = None,
        requirements: Sequence[str] | None = None,
        job_id: str | None = None,
        language: str | None = None,
        priority: int | None = None,
        background: bool = False,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        on_log: Callable[[str], object] | None = None,
        on_progress: Callable[[float, float | None], object] | None = None,
    ) -> Any:
        """Run an action from source, without creating a release, and return its result.

        Args:
            action: Name of the action.
            params: The parameters to call the action with.
            plugin_path: Folder of the plugin's source on the agent's machine.
            config: Keys to merge into the folder's `config.yaml`, or the whole of it.
            modules: Python source by dotted module name, added to the folder.
            requirements: PEP 508 requirements in addition to the plugin's own.
            job_id: An ID for the run; random by default.
            language: Language of the action's messages, as an ISO 639-1 code such as `en`.
            priority: As for `run_plugin_release`, among debug runs.
            background: As for `run_plugin_release`.
            timeout: As for `run_plugin_release`, which also has the errors.
            deadline: As for `run_plugin_release`.
            on_log: As for `run_plugin_release`.
            on_progress: As for `run_plugin_release`.
        """
        listeners = RunListeners(on_log, on_progress)
        request = calls.run_debug_plugin_release(
            action,
            params=params,
            plugin_path=plugin_path,
            config=config,
            modules=modules,
            requirements=requirements,
            job_id=job_id,
            language=language,
            priority=priority,
            wanted=listeners.wanted(background=background),
        )
        limit = self._session.limit("running an action; the job continues", deadline)
        answer = self._session.run(request, timeout=timeout, deadline=deadline)
        return self._ended(answer, listeners, limit)

    def _ended(self, answer: Any, listeners: RunListeners, limit: Limit) -> Any:
        """Return the result of a run; for one in progress, call the caller's functions until it has ended."""
        if not isinstance(answer, Accepted):
            return answer
        with closing(self._session.iterate(self._session.following(answer.job_id, limit.left()))) as events:
            for event in events:
                listeners.call(event)
        return self._session.drive(self._session.waiting(answer.job_id, limit.left()))


class AsyncPluginClientMixin:
    """The asynchronous twin of `PluginClientMixin`, which describes the methods."""

    _session: AsyncSession

    @overload
    async def list_plugin_releases(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        list_all: Literal[False] = False,
        max_concurrency: int = 4,
    ) -> PluginReleasePage: ...

    @overload
    async def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: Literal[True], max_concurrency: int = 4
    ) -> tuple[list[PluginRelease], int]: ...

    @overload
    async def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: bool, max_concurrency: int = 4
    ) -> PluginReleasePage | tuple[list[PluginRelease], int]: ...

    async def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: bool = False, max_concurrency: int = 4
    ) -> PluginReleasePage | tuple[list[PluginRelease], int]:
        """List the releases that the agent has cached."""
        if list_all:
            limit = self._session.limit("listing releases")
            return await self._session.drive(pagination.all_releases(params, limit), check_count(max_concurrency))
        page: PluginReleasePage = await self._session.send(calls.list_plugin_releases(params))
        return page

    def iter_plugin_releases(self, params: Mapping[str, Any] | None = None) -> AsyncIterator[PluginRelease]:
        """Yield all releases, page by page, with at most one page in memory."""
        walk = pagination.Paginator(params)
        return self._iterate(walk)

    async def _iterate(self, walk: pagination.Paginator) -> AsyncIterator[PluginRelease]:
        while walk.next is not None:
            for release in walk.take(await self._session.send(walk.next)).results:
                yield release

    async def get_plugin_release(self, lookup: str | int) -> PluginRelease:
        """Get a release by its ID (`123`) or as `code@version`."""
        release: PluginRelease = await self._session.send(calls.get_plugin_release(lookup))
        return release

    async def create_plugin_release(
        self, plugin: str, version: str | None = None, *, refresh: bool = False
    ) -> PluginRelease:
        """Fetch and cache a release on the agent; a cached one is returned unchanged."""
        release: PluginRelease = await self._session.send(calls.create_plugin_release(plugin, version, refresh=refresh))
        return release

    async def delete_plugin_release(self, lookup: str | int) -> None:
        """Delete a cached release; runs in progress finish normally."""
        await self._session.send(calls.delete_plugin_release(lookup))

    async def warm_plugin_release(self, lookup: str | int, action: str | None = None) -> WarmRelease:
        """Prepare a release on the agent, so that its first run need not wait for its environment and process."""
        warm: WarmRelease = await self._session.send(calls.warm_plugin_release(lookup, action))
        return warm

    async def run_plugin_release(
        self,
        lookup: str | int,
        action: str | None = None,
        params: Mapping[str, Any] | None = None,
        *,
        data: Mapping[str, Any] | None = None,
        requirements: Sequence[str] | None = None,
        job_id: str | None = None,
        language: str | None = None,
        priority: int | None = None,
        background: bool = False,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        on_log: Callable[[str], object] | None = None,
        on_progress: Callable[[float, float | None], object] | None = None,
    ) -> Any:
        """Run an action of a release and return its result, which may be any JSON value."""
        listeners = RunListeners(on_log, on_progress)
        request = calls.run_plugin_release(
            lookup,
            action,
            data=data,
            params=params,
            requirements=requirements,
            job_id=job_id,
            language=language,
            priority=priority,
            wanted=listeners.wanted(background=background),
        )
        limit = self._session.limit("running an action; the job continues", deadline)
        answer = await self._session.run(request, timeout=timeout, deadline=deadline)
        return await self._ended(answer, listeners, limit)

    async def run_debug_plugin_release(
        self,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        plugin_path: str | os.PathLike[str] | None = None,
        config: Mapping[str, Any] | None = None,
        modules: Mapping[str, str] | None = None,
        requirements: Sequence[str] | None = None,
        job_id: str | None = None,
        language: str | None = None,
        priority: int | None = None,
        background: bool = False,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        on_log: Callable[[str], object] | None = None,
        on_progress: Callable[[float, float | None], object] | None = None,
    ) -> Any:
        """Run an action from source, without creating a release, and return its result."""
        listeners = RunListeners(on_log, on_progress)
        request = calls.run_debug_plugin_release(
            action,
            params=params,
            plugin_path=plugin_path,
            config=config,
            modules=modules,
            requirements=requirements,
            job_id=job_id,
            language=language,
            priority=priority,
            wanted=listeners.wanted(background=background),
        )
        limit = self._session.limit("running an action; the job continues", deadline)
        answer = await self._session.run(request, timeout=timeout, deadline=deadline)
        return await self._ended(answer, listeners, limit)

    async def _ended(self, answer: Any, listeners: RunListeners, limit: Limit) -> Any:
        if not isinstance(answer, Accepted):
            return answer
        async with aclosing(self._session.iterate(self._session.following(answer.job_id, limit.left()))) as events:
            async for event in events:
                returned = listeners.call(event)
                if isinstance(returned, Awaitable):
                    await returned
        return await self._session.drive(self._session.waiting(answer.job_id, limit.left()))
