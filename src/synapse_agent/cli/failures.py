"""How a command reports an error: one line with what to do next, and details for `--verbose`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from synapse_agent.cli.exit_codes import ExitCode, exit_code
from synapse_agent.cli.terminal.sanitize import one_line
from synapse_sdk.exceptions import (
    ActionFailedError,
    AuthenticationError,
    AuthorizationError,
    ClientConnectionError,
    ClientError,
    ClientResponseIncompleteError,
    ClientTimeoutError,
    ConflictError,
    InvalidLookupError,
    NotFoundError,
    RateLimitError,
    RequirementsError,
    ResponseParseError,
    ValidationError,
)

LONGEST_LINE = 600
_ABOUT_TLS = ("WRONG_VERSION_NUMBER", "CERTIFICATE_VERIFY_FAILED", "CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE")
"""OpenSSL's words in the client's messages that end with what to do."""
_DOCTOR = "'synapse-agent doctor' checks the connection."


class Failure(Exception):
    """The end of a command that failed."""

    def __init__(self, line: str, code: ExitCode, *, details: str = "") -> None:
        super().__init__(line)
        self.line = line
        self.code = code
        self.details = details
        """More lines, which only `--verbose` prints."""


class UsageFailure(Failure):
    """An invalid call; nothing was sent."""

    def __init__(self, line: str) -> None:
        super().__init__(line, ExitCode.USAGE)


@dataclass(frozen=True, slots=True)
class About:
    """The subject of a call, for its error message."""

    url: str = ""
    url_from: str = ""
    """The origin of the address."""
    token_from: str | None = None
    """The origin of the token; None without one."""
    lookup: str | None = None
    job_id: str | None = None
    is_fetching: bool = False
    """Whether a source of the agent has the release."""
    near: tuple[str, ...] = ()
    """Releases that `lookup` may have meant."""
    is_agent_kept: bool = True
    """Whether the agent outlives the command, with the job and its log."""


def failure(error: ClientError, about: About) -> Failure:
    """Return the failure that reports a client's error."""
    what = _sentence(one_line(_what(error, about), longest=LONGEST_LINE))
    return Failure(f"{what} {_next(error, about)}".rstrip(), exit_code(error), details="\n".join(_details(error)))


def _what(error: ClientError, about: About) -> str:
    if isinstance(error, ActionFailedError):
        exception = f"{error.exception_type}: {error.exception_message}".rstrip(": ")
        # Our agent's message adds to the exception what to do, such as a package to require.
        return f"The action failed: {error.message if error.message.startswith(exception) else exception}"
    if isinstance(error, AuthenticationError) and about.token_from:
        return f"{_sentence(error.message)} It came from {about.token_from}"
    if error.error_type == "release_not_found" and about.lookup and not about.is_fetching:
        return f"The agent has no release {about.lookup!r}"
    return error.message or type(error).__name__


def _next(error: ClientError, about: About) -> str:
    """Return what to do next."""
    job = _job_of(error, about) if about.is_agent_kept else None
    if isinstance(error, ClientTimeoutError):
        return _after_timeout(error, job)
    if isinstance(error, ClientResponseIncompleteError):
        return _look_whether_it_ran(job) if error.outcome == "unknown" and job else _try_again(about)
    if isinstance(error, ClientConnectionError):
        return _connect_otherwise(error, about)
    if isinstance(error, ResponseParseError):
        return f"Is something else answering at {about.url}? {_DOCTOR}"
    if isinstance(error, RequirementsError):
        return "--verbose shows the installer's output."
    if error.outcome == "executed" or error.error_type == "action_stopped":
        return _see_the_log(error, job) if about.is_agent_kept else ""
    return _after_refusal(error, about)


def _connect_otherwise(error: ClientConnectionError, about: About) -> str:
    if any(words in error.message for words in _ABOUT_TLS):
        return _DOCTOR
    if " through the proxy " in error.message:
        return f"Correct the proxy's address, or add the agent's host to NO_PROXY; {_DOCTOR}"
    if about.url_from.startswith("the default, "):
        return f"The address is {about.url_from}: start that agent again, or name another with --url; {_DOCTOR}"
    return f"Start an agent with 'synapse-agent serve --plugins DIR', or name another with --url; {_DOCTOR}"


def _try_again(about: About) -> str:
    if about.url.startswith("http:"):
        return f"Try again, or with https{about.url.removeprefix('http')} if the agent uses TLS; {_DOCTOR}"
    return f"Try again; {_DOCTOR}"


def _after_refusal(error: ClientError, about: About) -> str:
    if isinstance(error, AuthenticationError):
        return "Pass the agent's token with --token-file, SYNAPSE_AGENT_TOKEN or 'synapse-agent use NAME --token-file'."
    if isinstance(error, AuthorizationError):
        # Our agent's own messages name the option.
        return (
            "" if error.error_type else f"The operator of {about.url} can allow it; see 'synapse-agent serve --help'."
        )
    if isinstance(error, NotFoundError):
        return _where_to_look(error, about)
    if isinstance(error, InvalidLookupError):
        return "'synapse-agent list' shows the releases."
    if error.error_type == "unknown_action" and about.lookup:
        return f"'synapse-agent get {about.lookup}' shows its actions."
    if error.error_type == "release_conflict":
        return "'synapse-agent push PATH --replace' replaces it."
    if isinstance(error, ConflictError):
        return "'synapse-agent jobs get JOB_ID' shows the job."
    if isinstance(error, ValidationError):
        return "Nothing ran. Fix the call and try again."
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "Send large data as files: -p KEY=@FILE."
    if isinstance(error, RateLimitError):
        return f"Try again in {error.retry_after:g} s." if error.retry_after else "Try again later."
    return f"Try again; {_DOCTOR}"


def _where_to_look(error: NotFoundError, about: About) -> str:
    if error.error_type == "job_not_found":
        if about.job_id and "@" in about.job_id:
            return f"The jobs of a release: 'synapse-agent jobs list --release {about.job_id}'."
        return "'synapse-agent jobs list' shows the jobs."
    if error.error_type == "serve_application_not_found":
        return "'synapse-agent served list' shows the served actions."
    if about.near:
        return f"Did you mean {' or '.join(map(repr, about.near))}? 'synapse-agent create' caches another release."
    if about.is_fetching:
        return "Is it in the folder or backend of 'synapse-agent serve', such as --plugins DIR?"
    if about.lookup and "@" in about.lookup:
        other = "run with --create" if about.job_id else "see 'synapse-agent list'"
        return f"Cache it with 'synapse-agent create {about.lookup}', or {other}."
    if about.lookup:
        return "'synapse-agent list' shows the cached releases."
    return f"Is {about.url} the agent's address? {_DOCTOR}"


def _after_timeout(error: ClientTimeoutError, job: str | None) -> str:
    if job and error.outcome == "unknown":
        return (
            f"If the agent has the job, it continues: 'synapse-agent jobs get {job}' shows it, "
            f"'synapse-agent jobs wait {job}' waits for it, '… jobs stop {job}' stops it."
        )
    return f"Allow more time with --timeout; {_DOCTOR}"


def _look_whether_it_ran(job: str) -> str:
    return f"It may have run: 'synapse-agent jobs get {job}' shows whether it has."


def _see_the_log(error: ClientError, job: str | None) -> str:
    log = f"'synapse-agent jobs logs {job}' has its log" if job else "'synapse-agent jobs list' has its job"
    has_more = isinstance(error, ActionFailedError) and error.traceback
    return f"{log}, --verbose shows the traceback." if has_more else f"{log}."


def _job_of(error: ClientError, about: About) -> str | None:
    inner = error.detail.get("detail") if isinstance(error.detail, dict) else None
    found = inner.get("job_id") if isinstance(inner, dict) else None
    return found if isinstance(found, str) else about.job_id


def _details(error: ClientError) -> Iterator[str]:
    if isinstance(error, ActionFailedError) and error.traceback:
        yield error.traceback.rstrip()
    if isinstance(error, RequirementsError) and error.installer_output:
        yield error.installer_output.rstrip()
    yield f"{type(error).__name__}, outcome {error.outcome}"
    facts = {
        "status": error.status_code,
        "error_type": error.error_type,
        "request id": error.request_id,
        "idempotency key": error.idempotency_key,
    }
    yield from (f"{name}: {value}" for name, value in facts.items() if value is not None)
    for number, attempt in enumerate(error.attempts, start=1):
        waited = f", then waited {attempt.wait:.2f} s" if attempt.wait else ""
        yield f"attempt {number}: {attempt.error or attempt.status}{waited}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
