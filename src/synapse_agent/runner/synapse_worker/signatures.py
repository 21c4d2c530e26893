"""The parameters of a callable, and how to call it with params.

Most actions are plain functions, whose code object has all the information. `inspect` returns the same, but in a
process that was just forked it costs many times the call: each page of memory that it touches is copied first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any

from .arguments import Parameters
from .bounds import field_default, is_field, shown_default
from .conversion import evaluated

WHOLE = "params"
CONTEXT = ("context", "ctx")

_PLAIN = (Any, bool, int, float, str)
_HAS_ARGS = 0x04  # in a code object's flags: `*args`
_HAS_KWARGS = 0x08


class CallSignature:
    """The parameters of a callable, and whether it takes others; its `*args` receives nothing."""

    __slots__ = ("by_name_from", "by_position", "defaults", "hints", "names", "rest", "scope")

    def __init__(
        self,
        names: tuple[str, ...] = (),
        *,
        by_position: int = 0,
        by_name_from: int = 0,
        defaults: Mapping[str, Any] | None = None,
        rest: str | None = None,
        hints: Mapping[str, Any] | None = None,
        scope: Mapping[str, Any] | None = None,
    ) -> None:
        self.names = names
        self.by_position = by_position
        """How many of the names, from the first, can be passed only by position."""
        self.by_name_from = by_name_from
        """Index of the first keyword-only name."""
        self.defaults = defaults or {}
        self.rest = rest
        """The name of its `**kwargs`, which receives keys that it does not name."""
        self.hints = hints or {}
        """The annotations of its parameters, unevaluated."""
        self.scope = scope or {}
        """The names that the annotations use."""

    @classmethod
    def of(cls, target: Any) -> CallSignature | None:
        """Read the signature of a function, class or other callable; return None without one, as for some C code."""
        if says_it_all(target):
            return cls._of_function(target)
        constructor = _constructor(target)
        if constructor is object.__init__:
            return cls()
        if says_it_all(constructor):
            return cls._of_function(constructor).without_self()
        return cls._by_signature(target)

    @classmethod
    def anything(cls) -> CallSignature:
        """Return the signature that takes any key."""
        return cls(rest="kwargs")

    def without_self(self) -> CallSignature:
        """Remove the first parameter, which a method receives by position."""
        if self.by_name_from == 0:
            return self
        return CallSignature(
            self.names[1:],
            by_position=max(self.by_position - 1, 0),
            by_name_from=self.by_name_from - 1,
            defaults=self.defaults,
            rest=self.rest,
            hints=self.hints,
            scope=self.scope,
        )

    def missing(self, params: Mapping[str, Any]) -> list[str]:
        """List the parameters that require a value and would get none."""
        given = (*CONTEXT, WHOLE)
        needed = [n for n in self.names if n not in self.defaults or _needs_value(self.defaults[n])]
        return [n for n in needed if n not in params and n not in given]

    def bound(self, params: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Return the values of its parameters, converted by annotations; raise `Misfit` for all that do not fit."""
        named = {name: params[name] for name in self.names if name in params}
        for name in CONTEXT:
            if name in self.names and self.wants_context(name):
                named.setdefault(name, context)
        if WHOLE in self.names and (params or WHOLE not in self.defaults):
            named[WHOLE] = dict(params)
        if any(name in self.hints for name in named) or any(map(is_field, self.defaults.values())):
            return Parameters(self.hints, self.defaults, self.scope).converted(named, given=params)
        return named

    def call(
        self,
        function: Callable[..., Any],
        named: dict[str, Any],
        params: Mapping[str, Any],
        *,
        elsewhere: Iterable[str] = (),
    ) -> Any:
        """Call with what `bound` returned; `elsewhere` lists the params that another callable of the run takes."""
        positional = [named.pop(n) if n in named else self.defaults[n] for n in self.names[: self.by_position]]
        if self.rest is not None:
            others = frozenset(self.names).union(elsewhere)
            named.update({key: value for key, value in params.items() if key not in others})
        return function(*positional, **named)

    def __str__(self) -> str:
        """Format the callers' part as in source, without the context, which the agent passes."""
        theirs = [name for name in self.names if name not in CONTEXT or not self.wants_context(name)]
        named = [f"{name}={shown_default(self.defaults[name])}" if name in self.defaults else name for name in theirs]
        return ", ".join(named if self.rest is None else [*named, f"**{self.rest}"])

    def plain_types(self) -> dict[str, Any] | None:
        """Return the annotated type of each parameter (`Any` for none) if these are all that its call can depend on.

        Params of just these names and types are its arguments as they are. None for a signature with defaults,
        `**kwargs`, the context or the whole params, or with annotations that may convert or check.
        """
        if self.defaults or self.rest is not None or self.by_position or not {*CONTEXT, WHOLE}.isdisjoint(self.names):
            return None
        types = {name: evaluated(self.hints.get(name, Any), self.scope) for name in self.names}
        return types if all(any(hint is each for each in _PLAIN) for hint in types.values()) else None

    def wants_context(self, name: str) -> bool:
        """Return whether a parameter of that name is for the run's context: one with a default needs its annotation."""
        if name not in self.defaults:
            return True
        hint = self.hints.get(name)
        text = hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))
        return text.partition("|")[0].strip(" ]'\"").endswith("Context")

    @classmethod
    def _of_function(cls, function: Any) -> CallSignature:
        code = function.__code__
        count = code.co_argcount + code.co_kwonlyargcount
        values = function.__defaults__ or ()
        with_default = code.co_varnames[code.co_argcount - len(values) :]
        has_args = bool(code.co_flags & _HAS_ARGS)
        return cls(
            code.co_varnames[:count],
            by_position=code.co_posonlyargcount,
            by_name_from=code.co_argcount,
            defaults={**{with_default[i]: value for i, value in enumerate(values)}, **(function.__kwdefaults__ or {})},
            rest=code.co_varnames[count + has_args] if code.co_flags & _HAS_KWARGS else None,
            hints=function.__annotations__,
            scope=function.__globals__,
        )

    @classmethod
    def _by_signature(cls, target: Callable[..., Any]) -> CallSignature | None:
        from inspect import Parameter, signature

        try:
            parameters = signature(target).parameters.values()
        except (ValueError, TypeError):
            return None
        whole = getattr(target, "__wrapped__", target)
        scope = getattr(whole, "__globals__", None) or vars(sys.modules.get(getattr(whole, "__module__", ""), sys))
        named = [p for p in parameters if p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
        kinds = [p.kind for p in named]
        return cls(
            tuple(p.name for p in named),
            by_position=kinds.count(Parameter.POSITIONAL_ONLY),
            by_name_from=len(kinds) - kinds.count(Parameter.KEYWORD_ONLY),
            defaults={p.name: p.default for p in named if p.default is not p.empty},
            rest=next((p.name for p in parameters if p.kind is Parameter.VAR_KEYWORD), None),
            hints={p.name: p.annotation for p in named if p.annotation is not p.empty},
            scope=scope,
        )


def _needs_value(default: Any) -> bool:
    return is_field(default) and not field_default(default)[0]


def says_it_all(target: Any) -> bool:
    """Return whether a target is a function without attributes: others may wrap another one (`functools.wraps`)."""
    return type(target) is FunctionType and not vars(target)


def _constructor(target: Any) -> Any:
    """Return the function that constructing a class calls, if that is only its `__init__`."""
    kind = type(target)
    is_plain = kind is type and target.__new__ is object.__new__ and not hasattr(target, "__signature__")
    return target.__init__ if is_plain else None
