"""Actions that yield: iterate over their values."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synapse_sdk.clients.agent._request import calls

if TYPE_CHECKING:
    from synapse_sdk.clients.agent._session.session import AsyncSession, Session


class StreamClientMixin:
    """The methods of an agent's client that yield what an action yields."""

    _session: Session

    def stream_plugin_release(
        self,
        lookup: str | int,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        requirements: Sequence[str] | None = None,
        job_id: str | None = None,
        language: str | None = None,
        priority: int | None = None,
        deadline: float | None = None,
    ) -> Generator[Any, None, None]:
        """Run a generator action of a release, and yield each value as soon as it arrives.

        After a broken connection it resumes at the next value: each is yielded exactly once. An action that
        returns a value yields that one. The run starts with the first `next()`, and continues if you stop earlier:
        `stop_job` stops it.

        Args:
            lookup: The release's ID, or `code@version`.
            action: Name of the action.
            params: The parameters to call the action with.
            requirements: PEP 508 requirements in addition to the plugin's own.
            job_id: An ID for the run; random by default.
            language: Language of the action's messages, as an ISO 639-1 code such as `en`.
            priority: Of a release's waiting runs, those of higher priority start first; 0 by default.
            deadline: Seconds for the whole run; then `ClientTimeoutError` is raised, and the job continues.

        Raises:
            ActionFailedError: The action raised, possibly after some values; the error has its traceback.
            ServerError: It failed in another way, stated by `error_type`, such as `action_stopped`.
            ValidationError: The agent refused the run.
            NotFoundError: The agent has no such release.
            ResponseParseError: The agent can't run it in the background, and has run the action to its end.
        """
        request = calls.run_plugin_release(
            lookup,
            action,
            data=None,
            params=params,
            requirements=requirements,
            job_id=job_id,
            language=language,
            priority=priority,
            wanted="job",
        )
        return self._session.iterate(self._session.streaming(request, deadline))

    def stream_debug_plugin_release(
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
        deadline: float | None = None,
    ) -> Generator[Any, None, None]:
        """Run an action from source, like `run_debug_plugin_release`, and yield each value as soon as it arrives.

        Args:
            action: Name of the action.
            params: The parameters to call the action with.
            plugin_path: Folder of the plugin's source on the agent's machine.
            config: Keys to merge into the folder's `config.yaml`, or the whole of it.
            modules: Python source by dotted module name, added to the folder.
            requirements: PEP 508 requirements in addition to the plugin's own.
            job_id: An ID for the run; random by default.
            language: Language of the action's messages, as an ISO 639-1 code such as `en`.
            priority: As for `stream_plugin_release`, among debug runs.
            deadline: As for `stream_plugin_release`, which also has the errors.
        """
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
            wanted="job",
        )
        return self._session.iterate(self._session.streaming(request, deadline))


class AsyncStreamClientMixin:
    """The asynchronous twin of `StreamClientMixin`, which describes the methods."""

    _session: AsyncSession

    def stream_plugin_release(
        self,
        lookup: str | int,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        requirements: Sequence[str] | None = None,
        job_id: str | None = None,
        language: str | None = None,
        priority: int | None = None,
        deadline: float | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Run a generator action of a release, and yield each value as soon as it arrives."""
        request = calls.run_plugin_release(
            lookup,
            action,
            data=None,
            params=params,
            requirements=requirements,
            job_id=job_id,
            language=language,
            priority=priority,
            wanted="job",
        )
        return self._session.iterate(self._session.streaming(request, deadline))

    def stream_debug_plugin_release(
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
        deadline: float | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Run an action from source, and yield each value as soon as it arrives."""
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
            wanted="job",
        )
        return self._session.iterate(self._session.streaming(request, deadline))
