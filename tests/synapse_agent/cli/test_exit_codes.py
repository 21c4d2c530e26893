"""Each error of the client has an exit code."""

from __future__ import annotations

import pytest

from synapse_agent.cli.exit_codes import ExitCode, exit_code
from synapse_sdk import exceptions
from synapse_sdk.exceptions import ClientError

EXPECTED = {
    "ClientConnectionError": 5,
    "ClientResponseIncompleteError": 5,
    "ClientTimeoutError": 6,
    "ResponseParseError": 5,
    "AuthenticationError": 4,
    "AuthorizationError": 4,
    "NotFoundError": 3,
    "ConflictError": 2,
    "ValidationError": 2,
    "RequirementsError": 1,
    "RateLimitError": 5,
    "InvalidLookupError": 2,
}


@pytest.mark.parametrize(("name", "code"), EXPECTED.items())
def test_a_class_has_its_code(name: str, code: int) -> None:
    """The error's other attributes don't matter."""
    assert exit_code(getattr(exceptions, name)("no")) == code


def test_what_ran_and_ended_badly_is_a_failure() -> None:
    """This covers every way to end; a 5xx without proof of a run means that the agent is unreachable."""
    assert exit_code(exceptions.ActionFailedError("no", outcome="executed")) == 1
    assert exit_code(exceptions.ServerError("no", error_type="action_timeout", outcome="executed")) == 1
    assert exit_code(exceptions.ConflictError("no", error_type="action_stopped", outcome="rejected")) == 1
    assert exit_code(exceptions.ServerError("no", status_code=502)) == 5
    assert exit_code(exceptions.HTTPError("no", status_code=302)) == 5


def test_no_class_is_forgotten() -> None:
    """A new class of error needs an entry here."""
    classes = {
        name for name, each in vars(exceptions).items() if isinstance(each, type) and issubclass(each, ClientError)
    }
    assert classes - EXPECTED.keys() == {"ClientError", "HTTPError", "ServerError", "ActionFailedError"}


def test_codes_are_stable() -> None:
    """Scripts depend on them."""
    assert [(code.name, int(code)) for code in ExitCode] == [
        ("DONE", 0),
        ("FAILED", 1),
        ("USAGE", 2),
        ("NOT_FOUND", 3),
        ("NOT_ALLOWED", 4),
        ("UNREACHABLE", 5),
        ("TIMEOUT", 6),
        ("INTERRUPTED", 130),
    ]
