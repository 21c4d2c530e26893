"""A running command: its agent, its output and its errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from synapse_agent.cli.failures import About, Failure, UsageFailure, failure
from synapse_agent.cli.mistakes import near_releases
from synapse_agent.cli.target.resolve import TOKEN_VARIABLE, Asked, Target, choose_target, local_agent
from synapse_agent.cli.terminal.output import Output
from synapse_agent.cli.terminal.sanitize import identifier

if TYPE_CHECKING:
    from synapse_sdk.clients.agent import AgentClient
    from synapse_sdk.exceptions import ClientError

WHOLE_ID = 32
"""Length of the IDs that agents create."""
MOST_NAMED = 5
_MOST_COMPARED = 100
_SECONDS_TO_SUGGEST = 2.0


def make_client(target: Target, **options: Any) -> AgentClient:
    """Return a client with the target's token or none: the environment's may be for another agent."""
    from synapse_sdk.clients.agent import AgentClient

    hidden = None if target.token else os.environ.pop(TOKEN_VARIABLE, None)
    try:
        return AgentClient(target.url, target.token, **options)
    finally:
        if hidden is not None:
            os.environ[TOKEN_VARIABLE] = hidden


class Invocation:
    """What each command receives."""

    def __init__(
        self,
        asked: Asked,
        *,
        timeout: float | None = None,
        as_json: bool = False,
        quiet: bool = False,
        is_verbose: bool = False,
    ) -> None:
        self.asked = asked
        self.timeout = timeout
        self.is_verbose = is_verbose
        self.as_json = as_json
        """Whether JSON was requested; piped results are always JSON."""
        self.output = Output(as_json=as_json, quiet=quiet)
        self.is_agent_kept = True
        """Whether the agent outlives the command."""
        self._stack = ExitStack()

    @cached_property
    def target(self) -> Target:
        """The agent to talk to."""
        from synapse_agent.cli.target.named_agents import agents_file, is_open_to_others, read_agents

        path = agents_file()
        target = choose_target(self.asked, os.environ, lambda: read_agents(path), local_agent)
        if target.token_from and "named" in target.token_from and is_open_to_others(path):
            self.output.note(f"Others on this machine can read the tokens in {path}: chmod 600 {path}")
        return target

    @cached_property
    def client(self) -> AgentClient:
        """A client of the agent."""
        try:
            client = make_client(self.target, deadline=self.timeout)
        except ValueError as error:
            sources = {"base_url": self.target.url_from, "access_token": self.target.token_from}
            source = sources.get(str(error).partition(" ")[0])
            raise UsageFailure(f"{error} (It came from {source}.)" if source else str(error)) from error
        return self._stack.enter_context(client)

    def whole_job_id(self, text: str) -> str:
        """Return the ID of the one job whose ID is this or begins with it; raise `Failure` if there are several."""
        if len(text) >= WHOLE_ID:
            return text
        with self.calling(job_id=text):
            found = [job["job_id"] for job in self.client.list_jobs(job_id_prefix=text, limit=MOST_NAMED)]
        # An agent that does not know the filter also lists others.
        found = [job_id for job_id in found if job_id.startswith(text)]
        if text in found or not found:
            return text
        if len(found) > 1:
            shown = ", ".join(map(identifier, found[: MOST_NAMED - 1]))
            more = "" if len(found) < MOST_NAMED else " and others"
            raise UsageFailure(f"Several jobs begin with {identifier(text)}: {shown}{more}. Add characters.")
        return found[0]

    @contextmanager
    def calling(
        self, *, lookup: str | None = None, job_id: str | None = None, is_fetching: bool = False
    ) -> Iterator[None]:
        """Turn the errors of a call into a `Failure` that names the call's subject."""
        from synapse_sdk.exceptions import ClientError

        about = About(lookup=lookup, job_id=job_id, is_fetching=is_fetching, is_agent_kept=self.is_agent_kept)
        try:
            yield
        except ClientError as error:
            about = replace(
                about,
                url=self.target.url,
                url_from=self.target.url_from,
                token_from=self.target.token_from,
                near=self._near(error, about),
            )
            raise failure(error, about) from error
        except ValueError as error:
            raise UsageFailure(str(error)) from error

    def _near(self, error: ClientError, about: About) -> tuple[str, ...]:
        """Return the cached releases that a lookup may have meant, if the agent has no such release."""
        from synapse_sdk.exceptions import ClientError, NotFoundError

        if not (isinstance(error, NotFoundError) and error.error_type == "release_not_found" and about.lookup):
            return ()
        if about.is_fetching or about.lookup.isdigit():
            return ()
        try:
            page = self.client.with_options(deadline=_SECONDS_TO_SUGGEST).list_plugin_releases(
                {"page_size": _MOST_COMPARED}
            )
        except ClientError:
            return ()
        return tuple(near_releases(about.lookup, [f"{each['plugin']}@{each['version']}" for each in page["results"]]))

    def show_job(self, job: Any) -> None:
        """Print a job, on a terminal without what only a program needs, unless --verbose was given."""
        self.output.result(job, "whole_job" if self.is_verbose else "job")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()
        if isinstance(error, Failure) and not self.is_verbose:
            error.details = ""
