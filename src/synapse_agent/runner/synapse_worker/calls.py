"""How an action is called, decided from the shape of what its entrypoint names.

- A class is constructed, then its method of the action's name is called, or else `run`, `execute` or `__call__`.
  Constructor and method each get the parameters that they name; where one takes `**kwargs`, it gets those that the
  other does not name (the method, where both do).
- An action of the public SDK is called as that SDK does it: see `sdk_actions`.
- Anything else that is callable is called with the parameters that it names.
- A parameter called `params` gets the whole params object, whatever it holds. It then takes every key, and beside it
  other names still get the key of their name.
- A parameter called `context` or `ctx` gets the run's context, unless the caller's params have that key.
- What is awaitable is awaited.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .failures import Failure
from .sdk_actions import action_context, call_sdk_action, check_result, is_sdk_action

_WHOLE = "params"
_CONTEXT = ("context", "ctx")
_METHODS = ("run", "execute", "__call__")


def call(target: Any, *, action: str, params: Mapping[str, Any], context: Any) -> Any:
    """Call what an entrypoint names; a call that does not fit is a `Failure` 422 `invalid_params`."""
    if is_sdk_action(target):
        return _call_sdk_action(target, params, context)
    if isinstance(target, type):
        return _awaited(_call_class(target, action, params, context))
    if callable(target):
        return _awaited(_call_function(target, params, context))
    raise _not_callable(f"it names {type(target).__name__} {target!r:.60}, which is neither a function nor a class")


def _awaited(result: Any) -> Any:
    if not inspect.isawaitable(result):
        return result
    import asyncio  # it costs a run 30 ms, and most have no use for it

    async def wait() -> Any:
        return await result

    return asyncio.run(wait())


def _call_sdk_action(target: Any, params: Mapping[str, Any], context: Any) -> Any:
    ctx = action_context(context)
    result = _awaited(call_sdk_action(target, params, ctx))
    check_result(target, result, ctx)
    return result


def _call_function(function: Callable[..., Any], params: Mapping[str, Any], context: Any) -> Any:
    shape = _Shape.of(function)
    if shape is None:
        return function(**params)
    _check([shape], params)
    return shape.call(function, params, context)


def _call_class(cls: type, action: str, params: Mapping[str, Any], context: Any) -> Any:
    name = _method_name(cls, action)
    method = _Shape.of(getattr(cls, name)) or _Shape.anything()
    if isinstance(inspect.getattr_static(cls, name), (staticmethod, classmethod)):
        return _call_function(getattr(cls, name), params, context)
    method = method.without_self()
    constructor = _Shape.of(cls) or _Shape.anything()
    _check([constructor, method], params)
    rest = frozenset(params) if method.takes_rest else method.names
    instance = constructor.call(cls, params, context, elsewhere=rest)
    return method.call(getattr(instance, name), params, context, elsewhere=constructor.names)


def _method_name(cls: type, action: str) -> str:
    """Choose the method to call: an inherited one counts, what every class has (`type.__call__`) does not."""
    there = {name for base in cls.__mro__[:-1] for name, value in vars(base).items() if value is not None}
    for name in (action, action.replace("-", "_"), *_METHODS):
        if name in there:
            return name
    wanted = f"a method '{action}', `run`, `execute` or `__call__`"
    raise _not_callable(f"the class '{cls.__name__}' has none of these: {wanted}")


class _Shape(NamedTuple):
    """What a callable takes."""

    signature: inspect.Signature

    @classmethod
    def of(cls, function: Callable[..., Any]) -> _Shape | None:
        """Read a callable's signature; None for what has none, such as some of C."""
        try:
            return cls(inspect.signature(function))
        except (ValueError, TypeError):
            return None

    @classmethod
    def anything(cls) -> _Shape:
        return cls(inspect.Signature([inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)]))

    def without_self(self) -> _Shape:
        parameters = list(self.signature.parameters.values())
        if parameters and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
            parameters = parameters[1:]
        return _Shape(self.signature.replace(parameters=parameters))

    @property
    def named(self) -> list[inspect.Parameter]:
        several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return [parameter for parameter in self.signature.parameters.values() if parameter.kind not in several]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(parameter.name for parameter in self.named)

    @property
    def takes_rest(self) -> bool:
        """Whether keys that it does not name have a place in it, other than in a whole `params`."""
        return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in self.signature.parameters.values())

    def missing(self, params: Mapping[str, Any]) -> list[str]:
        """List the parameters that must have a value and would get none."""
        given = {*params, *_CONTEXT, _WHOLE}
        return [p.name for p in self.named if p.default is p.empty and p.name not in given]

    def call(
        self,
        function: Callable[..., Any],
        params: Mapping[str, Any],
        context: Any,
        *,
        elsewhere: Iterable[str] = (),
    ) -> Any:
        """Call with what it names; `elsewhere` lists the keys that another callable of the run takes."""
        arguments: dict[str, Any] = {}
        for parameter in self.signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                others = self.names.union(elsewhere)
                arguments[parameter.name] = {key: value for key, value in params.items() if key not in others}
            elif parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
                value = _value(parameter, params, context)
                if value is not parameter.empty:
                    arguments[parameter.name] = value
        bound = inspect.BoundArguments(self.signature, arguments)
        return function(*bound.args, **bound.kwargs)


def _value(parameter: inspect.Parameter, params: Mapping[str, Any], context: Any) -> Any:
    if parameter.name == _WHOLE:
        return dict(params)
    if parameter.name in params:
        return params[parameter.name]
    return context if parameter.name in _CONTEXT else parameter.default


def _check(shapes: list[_Shape], params: Mapping[str, Any]) -> None:
    names = frozenset().union(*(shape.names for shape in shapes))
    takes_all = _WHOLE in names or any(shape.takes_rest for shape in shapes)
    missing = [name for shape in shapes for name in shape.missing(params)]
    unexpected = [] if takes_all else [key for key in params if key not in names]
    if missing or unexpected:
        raise _invalid_params(missing, unexpected, shapes)


def _invalid_params(missing: list[str], unexpected: list[str], shapes: list[_Shape]) -> Failure:
    wrong = [f"'{name}' is missing" for name in missing] + [f"'{name}' is unexpected" for name in unexpected]
    taken = ", ".join(
        str(p.replace(annotation=p.empty)) for shape in shapes for p in shape.signature.parameters.values()
    )
    errors = [{"loc": ["params", name], "msg": "Field required", "type": "missing"} for name in missing]
    errors += [{"loc": ["params", name], "msg": "Unexpected field", "type": "unexpected"} for name in unexpected]
    message = f"The params do not fit the action: {', '.join(wrong)}. It takes ({taken})."
    return Failure(422, "invalid_params", message, errors=errors)


def _not_callable(why: str) -> Failure:
    return Failure(422, "entrypoint_not_found", f"The entrypoint cannot be called: {why}.")
