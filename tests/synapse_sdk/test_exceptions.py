"""The error tree."""

from __future__ import annotations

import inspect
import os
import pickle
from collections.abc import Callable
from types import FunctionType

import pytest

from synapse_sdk import exceptions
from synapse_sdk.exceptions import ActionFailedError, Attempt, ClientError

CLASSES = [item for item in vars(exceptions).values() if inspect.isclass(item) and issubclass(item, Exception)]
TREE = {
    "ClientConnectionError": "ClientError",
    "ClientResponseIncompleteError": "ClientConnectionError",
    "ClientTimeoutError": "ClientError",
    "ResponseParseError": "ClientError",
    "HTTPError": "ClientError",
    "AuthenticationError": "HTTPError",
    "AuthorizationError": "HTTPError",
    "NotFoundError": "HTTPError",
    "ConflictError": "HTTPError",
    "ValidationError": "HTTPError",
    "RequirementsError": "ValidationError",
    "RateLimitError": "HTTPError",
    "ServerError": "HTTPError",
    "ActionFailedError": "ServerError",
    "InvalidLookupError": "ClientError",
}


def test_the_tree_is_the_documented_one() -> None:
    """Each class has the documented parent, which the module's drawing shows."""
    assert {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES if kind is not ClientError} == TREE


def test_the_drawing_names_every_class() -> None:
    """The tree at the top of the module is complete."""
    drawing = exceptions.__doc__ or ""
    assert [kind.__name__ for kind in CLASSES if kind.__name__ not in drawing] == []


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_survives_pickling(kind: type[ClientError]) -> None:
    """An exception of a worker process arrives complete in its parent."""
    error = kind(
        "it broke",
        status_code=500,
        detail={"detail": {"message": "it broke", "job_id": "j1"}},
        error_type="action_failed",
        outcome="executed",
        attempts=(Attempt(status=503, wait=0.5, request_id="r0"), Attempt(error="ReadError")),
        request_id="r1",
        idempotency_key="k1",
    )
    copy = pickle.loads(pickle.dumps(error))
    assert copy == error
    assert hash(copy) == hash(error)
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


def test_errors_that_differ_are_not_equal() -> None:
    """Equality compares all attributes of an error."""
    assert ClientError("a", outcome="unknown") != ClientError("a", outcome="not_sent")
    assert ClientError("a") != exceptions.HTTPError("a")


def test_an_error_reads_as_one_line() -> None:
    """str() contains status, kind, message and outcome of the request, even for a message in several lines."""
    error = exceptions.ServerError(
        "ValueError: one\n  two",
        status_code=500,
        error_type="action_failed",
        outcome="executed",
        attempts=(Attempt(status=503), Attempt(status=500)),
        request_id="r1",
        idempotency_key="k1",
    )
    expected = "500 action_failed: ValueError: one two [outcome=executed attempts=2 request_id=r1 idempotency_key=k1]"
    assert str(error) == expected
    assert repr(error) == f"ServerError({expected!r})"


def test_a_timeout_keeps_the_status_of_the_public_client() -> None:
    """`status_code` of a timeout is 408, as callers of the public client know it."""
    assert exceptions.ClientTimeoutError("too slow").status_code == 408
    assert exceptions.ClientTimeoutError("too slow").detail == "too slow"


def test_an_invalid_lookup_is_a_value_error_of_which_nothing_was_sent() -> None:
    """Callers that catch ValueError catch it, and it shows that nothing was sent."""
    error = exceptions.InvalidLookupError("'..' can't name a release")
    assert isinstance(error, ValueError)
    assert error.outcome == "not_sent"


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_can_be_made_without_arguments(kind: type[ClientError]) -> None:
    """Missing attributes are empty or unknown, and cause no exception."""
    error = kind()
    assert (error.message, error.args, error.detail) == ("", ("",), "")
    assert error.outcome == ("not_sent" if kind is exceptions.InvalidLookupError else "unknown")
    assert (error.attempts, error.error_type, error.request_id, error.idempotency_key) == ((), None, None, None)


def test_an_error_without_a_status_reads_as_its_message() -> None:
    """No colon precedes the message, and a single attempt is not mentioned."""
    error = exceptions.ClientConnectionError("it broke", attempts=(Attempt(error="ReadError"),))
    assert str(error) == "it broke [outcome=unknown]"
    assert error.args == ("it broke",)


def test_detail_is_the_message_only_without_an_answer() -> None:
    """For an answer without a body, `detail` is None; for an error without an answer, it is the message."""
    assert ClientError("it broke").detail == "it broke"
    assert ClientError("it broke", detail=0).detail == 0
    assert ClientError("it broke", status_code=500).detail is None
    assert exceptions.InvalidLookupError("no").args == ("no",)


@pytest.mark.parametrize("detail", [None, "text", [1], {}, {"detail": None}, {"detail": [1]}, {"detail": "text"}])
def test_the_parts_of_a_failed_action_are_none_if_missing(detail: object) -> None:
    """A body of another shape does not cause another exception."""
    error = exceptions.ActionFailedError("m", status_code=500, detail=detail)
    assert (error.job_id, error.exception_type, error.exception_message, error.traceback) == (None, None, None, None)
    assert exceptions.RequirementsError("m", status_code=422, detail=detail).installer_output == ""


def test_errors_hash_by_class_message_and_status() -> None:
    """Errors that differ in one of them usually have different hashes."""
    errors = [ClientError("a"), ClientError("b"), exceptions.HTTPError("a"), ClientError("a", status_code=500)]
    assert len({hash(error) for error in errors}) == 4


def test_the_remote_traceback_is_a_note_once_and_survives_pickling() -> None:
    """Errors are pickled between processes."""
    detail = {"detail": {"error_type": "action_failed", "message": "m", "traceback": "Traceback ...\nValueError: x\n"}}
    error = ActionFailedError("m", status_code=500, detail=detail, retry_after=3.0)
    again = pickle.loads(pickle.dumps(error))
    note = "\nThe action's own traceback, on the agent:\n\nTraceback ...\nValueError: x"
    assert error.__notes__ == again.__notes__ == [note]
    assert (error.message, error.retry_after) == ("m", 3.0)
    assert not hasattr(ActionFailedError("m"), "__notes__")


def test_a_notebook_shows_the_caller_s_own_frames_and_the_notes() -> None:
    """Frames of the client and of IPython are left out."""

    def in_file(path: str, inner: Callable[[], None]) -> Callable[[], None]:
        frame = FunctionType((lambda inner: inner()).__code__.replace(co_filename=path.replace("/", os.sep)), {})
        return lambda: frame(inner)

    def fail() -> None:
        raise error

    error = ClientError("it broke")
    error.add_note("a note")
    call: Callable[[], None] = fail
    for path in ("/x/synapse_sdk/clients/agent/a.py", "/x/IPython/core.py", "/x/ipykernel/app.py", "/my/script.py"):
        call = in_file(path, call)
    with pytest.raises(ClientError):
        call()
    lines = error._render_traceback_()
    files = [line.split('"')[1] for line in lines if line.startswith("  File ")]
    assert list(dict.fromkeys(files)) == [__file__, "/my/script.py".replace("/", os.sep)]
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2:] == ["synapse_sdk.exceptions.ClientError: it broke [outcome=unknown]", "a note"]
