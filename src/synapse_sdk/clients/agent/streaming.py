"""Actions that yield: their values, one after the other."""

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
        """Run an action of a release that is a generator, and yield its values as they come.

        After a broken connection it resumes at the next value: none comes twice and none is missing. An action that
        returns a value yields that one. The run starts with the first `next()`, and continues if you stop earlier:
        `stop_job` ends it.

        Args:
            lookup: The release's ID, or `code@version`.
            action: Name of the action.
            params: The parameters to call the action with.
            requirements: PEP 508 requirements in addition to the plugin's own.
            job_id: An ID of your choice for the run.
            language: Language of the action's messages, as an ISO 639-1 code such as `en`.
            priority: Runs with a higher one start first, up to the agent's limit.
            deadline: Seconds for all of it, after which `ClientTimeoutError` is raised; the job continues.

        Raises:
            ActionFailedError: The action raised, after the values that came before; the error has its traceback.
            ServerError: It ended badly in another way, which `error_type` names, such as `action_stopped`.
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
        """Run an action from source, as `run_debug_plugin_release` does, and yield its values as they come.

        Args:
            action: Name of the action.
            params: The parameters to call the action with.
            plugin_path: Folder of the plugin's source on the agent's machine.
            config: Keys to lay over the folder's `config.yaml`, or the whole of it.
            modules: Python source by dotted module name, laid over the folder.
            requirements: PEP 508 requirements in addition to the plugin's own.
            job_id: An ID of your choice for the run.
            language: Language of the action's messages, as an ISO 639-1 code such as `en`.
            priority: Runs with a higher one start first, up to the agent's limit.
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
    """The asynchronous twin of `StreamClientMixin`, which has the methods' descriptions."""

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
        """Run an action of a release that is a generator, and yield its values as they come."""
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
        """Run an action from source, and yield its values as they come."""
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
