"""How a target is called, depending on its shape."""

from __future__ import annotations

import functools

import pytest

from synapse_agent.runner.synapse_worker.failures import ActionFailure
from synapse_agent.runner.synapse_worker.invoke import call

CONTEXT = object()


def called(target, **params):
    """Call a target as the action `train`."""
    return call(target, action="train", params=params, context=CONTEXT)


def failure(target, **params):
    """Call a target with arguments that do not fit and return the message."""
    with pytest.raises(ActionFailure) as caught:
        called(target, **params)
    return caught.value.fields


def plain(data, rate=0.5):
    return data, rate


def whole(params):
    return params


def whole_and_context(params, context):
    return params, context


def whole_and_named(params, rate):
    return params, rate


def everything(**kwargs):
    return kwargs


def named_and_rest(data, *args, context, **rest):
    return data, args, context, rest


def positional(data, rate=0.5, /, *, n):
    return data, rate, n


def question(question, context):
    return question, context


async def later(data, ctx):
    return data, ctx


def answer(question, context=""):
    return question, context


def annotated(data, context: Context | None = None, ctx: RuntimeContext = None):  # noqa: F821
    return data, context, ctx


def defaulted(ctx=None, params={"a": 1}):  # noqa: B006
    return ctx, params


class Callable:
    def __call__(self, data):
        return data


@pytest.mark.parametrize(
    ("target", "params", "result"),
    [
        (plain, {"data": 1}, (1, 0.5)),
        (plain, {"data": 1, "rate": 2}, (1, 2)),
        (whole, {"data": 1, "params": 2}, {"data": 1, "params": 2}),
        (whole, {}, {}),
        (whole_and_context, {"data": 1}, ({"data": 1}, CONTEXT)),
        (whole_and_named, {"rate": 1, "more": 2}, ({"rate": 1, "more": 2}, 1)),
        (everything, {"a": 1, "context": 2}, {"a": 1, "context": 2}),
        (named_and_rest, {"data": 1, "x": 2}, (1, (), CONTEXT, {"x": 2})),
        (positional, {"data": 1, "n": 3}, (1, 0.5, 3)),
        (positional, {"data": 1, "rate": 2, "n": 3}, (1, 2, 3)),
        (question, {"question": "why"}, ("why", CONTEXT)),
        (question, {"question": "why", "context": "a text"}, ("why", "a text")),
        (later, {"data": 1}, (1, CONTEXT)),
        (answer, {"question": "why"}, ("why", "")),
        (answer, {"question": "why", "context": "a text"}, ("why", "a text")),
        (annotated, {"data": 1}, (1, CONTEXT, CONTEXT)),
        (defaulted, {}, (None, {"a": 1})),
        (defaulted, {"b": 1}, (None, {"b": 1})),
        (Callable(), {"data": 1}, 1),
        (functools.partial(plain, rate=7), {"data": 1}, (1, 7)),
        (lambda: None, {}, None),
    ],
)
def test_functions_get_what_they_name(target, params, result):
    """`params` is the whole object, `context` or `ctx` the run's context, unless the caller passes that key."""
    assert called(target, **params) == result


class Validator:
    def __init__(self, **options):
        self.options = options

    def train(self, data):
        return self.options, data


class Trainer:
    def __init__(self, params, context):
        self.given = params, context

    def run(self):
        return self.given


class Executor:
    def execute(self, data, context):
        return data, context


class Both:
    def __init__(self, rate):
        self.rate = rate

    async def __call__(self, data, rate):
        return self.rate, data, rate


class Static:
    def __init__(self, needed):
        raise AssertionError(needed)

    @staticmethod
    def train(data):
        return data


class OfClass(Static):
    @classmethod
    def train(cls, data):
        return cls, data


class Rest:
    def __init__(self, **options):
        self.options = options

    def train(self, data, **rest):
        return self.options, data, rest


class Heir(Executor):
    pass


@pytest.mark.parametrize(
    ("target", "params", "result"),
    [
        (Validator, {"data": 1, "strict": True}, ({"strict": True}, 1)),
        (Trainer, {"epochs": 1}, ({"epochs": 1}, CONTEXT)),
        (Executor, {"data": 1}, (1, CONTEXT)),
        (Heir, {"data": 1}, (1, CONTEXT)),
        (Both, {"data": 1, "rate": 2}, (2, 1, 2)),
        (Static, {"data": 1}, 1),
        (OfClass, {"data": 1}, (OfClass, 1)),
        (Rest, {"data": 1, "x": 2}, ({}, 1, {"x": 2})),
    ],
)
def test_classes_are_constructed_and_a_method_called(target, params, result):
    """The method with the action's name comes first, then `run`, `execute`, `__call__`; each gets what it names."""
    assert called(target, **params) == result


def test_an_actions_name_need_not_be_an_identifier():
    """`pre-train` finds `pre_train`."""

    class Steps:
        def pre_train(self):
            return "done"

    assert call(Steps, action="pre-train", params={}, context=CONTEXT) == "done"


@pytest.mark.parametrize(
    ("target", "params", "wrong"),
    [
        (plain, {}, [("data", "missing")]),
        (plain, {"date": 1, "x": 2}, [("data", "missing"), ("date", "unexpected"), ("x", "unexpected")]),
        (positional, {"data": 1}, [("n", "missing")]),
        (Both, {"data": 1}, [("rate", "missing"), ("rate", "missing")]),
        (Executor, {"data": 1, "rate": 2}, [("rate", "unexpected")]),
        (lambda: None, {"x": 1}, [("x", "unexpected")]),
    ],
)
def test_a_call_that_does_not_fit_names_the_parameters(target, params, wrong):
    """The message has all of them."""
    fields = failure(target, **params)
    assert fields["error_type"] == "invalid_params"
    assert [(error["loc"][1], error["type"]) for error in fields["errors"]] == wrong


@pytest.mark.parametrize(
    ("target", "message"), [(3, "it names int 3"), (object, "the class 'object' has none of these")]
)
def test_what_cannot_be_called_is_refused(target, message):
    """An entrypoint can name any object."""
    assert message in failure(target)["message"]


def test_an_exception_of_the_actions_own_passes():
    """This includes exceptions that look like invalid arguments."""

    def act():
        raise TypeError("missing 1 required positional argument")

    with pytest.raises(TypeError):
        called(act)
