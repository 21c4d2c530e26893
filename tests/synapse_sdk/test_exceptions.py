"""The error tree."""

from __future__ import annotations

import inspect
import pickle

import pytest

from synapse_sdk import exceptions
from synapse_sdk.exceptions import Attempt, ClientError

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
    """Each class has the parent that the design and the module's drawing give it."""
    assert {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES if kind is not ClientError} == TREE


def test_the_drawing_names_every_class() -> None:
    """The tree at the top of the module leaves none out."""
    drawing = exceptions.__doc__ or ""
    assert [kind.__name__ for kind in CLASSES if kind.__name__ not in drawing] == []


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_survives_pickling(kind: type[ClientError]) -> None:
    """What a worker process raises arrives whole in its parent."""
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
    """Equality looks at everything that an error carries."""
    assert ClientError("a", outcome="unknown") != ClientError("a", outcome="not_sent")
    assert ClientError("a") != exceptions.HTTPError("a")


def test_an_error_reads_as_one_line() -> None:
    """str() says status, kind, message and what became of the request, even of a message in several lines."""
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
    """Callers that catch ValueError catch it, and it says that nothing left."""
    error = exceptions.InvalidLookupError("'..' can't name a release")
    assert isinstance(error, ValueError)
    assert error.outcome == "not_sent"
