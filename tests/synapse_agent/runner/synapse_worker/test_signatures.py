"""The worker reads a callable's signature from its code, with the same result as `inspect`."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass

import pytest

from synapse_agent.runner.synapse_worker.signatures import CallSignature


def plain(data, rate=0.5):
    return data, rate


def all_kinds(a, b=1, /, c=2, *args, d, e=3, **rest):
    return a, b, c, args, d, e, rest


def no_more_than_args(*args):
    return args


def local_names(a, *, b=1, **rest):
    c = a
    return c, b, rest


@functools.wraps(plain)
def wrapper(*args, **kwargs):
    return plain(*args, **kwargs)


def disguised(*args):
    return args


disguised.__signature__ = inspect.signature(plain)


class Empty:
    pass


class Base:
    def __init__(self, data, /, *, rate=1, **rest):
        self.given = data, rate, rest


class Heir(Base):
    pass


class ByNew:
    def __new__(cls, data):
        return super().__new__(cls) if data else None

    def __init__(self, *args):
        pass


class ByMeta(type):
    def __call__(cls, data):
        return super().__call__() if data else None


class Meta(metaclass=ByMeta):
    pass


class Wrapped:
    @functools.wraps(plain)
    def __init__(self, *args):
        pass


class Signed:
    __signature__ = inspect.signature(plain)

    def __init__(self, *args):
        pass


@dataclass
class Data:
    data: int
    rate: float = 0.5


class Instance:
    def __call__(self, data, rate=1):
        return data, rate


@pytest.mark.parametrize(
    "target",
    [
        plain,
        all_kinds,
        no_more_than_args,
        local_names,
        lambda: None,
        wrapper,
        disguised,
        functools.partial(plain, rate=7),
        functools.partial(all_kinds, 1),
        Empty,
        Base,
        Heir,
        ByNew,
        Meta,
        Wrapped,
        Signed,
        Data,
        Data(1).__init__,
        Instance(),
        len,
    ],
)
def test_a_shape_equals_that_of_inspect(target):
    """This covers names in order, their kinds, defaults, and the name of the `**kwargs`."""
    parameters = inspect.signature(target).parameters.values()
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    signature = CallSignature.of(target)
    assert signature.names == tuple(p.name for p in named)
    assert signature.names[: signature.by_position] == tuple(p.name for p in named if p.kind is p.POSITIONAL_ONLY)
    assert signature.names[signature.by_name_from :] == tuple(p.name for p in named if p.kind is p.KEYWORD_ONLY)
    assert signature.defaults == {p.name: p.default for p in named if p.default is not p.empty}
    assert signature.rest == next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)


def test_a_callable_without_parameters_to_read_has_no_signature():
    """This is the case for some functions written in C."""
    assert CallSignature.of(max) is None


@pytest.mark.parametrize(
    ("function", "names", "rest"),
    [
        (all_kinds, ("b", "c", "d", "e"), "rest"),
        (no_more_than_args, (), None),
        (lambda *args, data: (args, data), ("data",), None),
    ],
)
def test_a_method_gets_its_instance_by_position(function, names, rest):
    """If no parameter accepts it, `*args` does."""
    signature = CallSignature.of(function).without_self()
    assert (signature.names, signature.rest) == (names, rest)


def test_a_call_passes_each_argument_in_its_own_way():
    """Arguments are passed by position if necessary, else by name; missing values get their defaults."""
    signature = CallSignature.of(all_kinds)
    given = {"a": 10, "d": 20, "x": 30, "y": 40}
    assert signature.call(all_kinds, signature.bound(given, None), given) == (10, 1, 2, (), 20, 3, {"x": 30, "y": 40})
    given["b"] = 5
    assert signature.call(all_kinds, signature.bound(given, None), given, elsewhere=["y"]) == (
        10,
        5,
        2,
        (),
        20,
        3,
        {"x": 30},
    )


def with_context(file, context, most=5):
    return file, context, most


def test_a_shape_reads_as_it_was_written():
    """The message for invalid params contains it."""
    assert str(CallSignature.of(all_kinds)) == "a, b=1, c=2, d, e=3, **rest"


def test_the_context_is_not_among_what_callers_pass():
    """The agent passes the context."""
    assert str(CallSignature.of(with_context)) == "file, most=5"
