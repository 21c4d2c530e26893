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

from collections.abc import Callable, Mapping
from types import GeneratorType
from typing import Any

from .failures import ActionFailure
from .sdk_actions import MAX_FAULTS, action_context, call_sdk_action, check_result, is_sdk_action
from .signatures import WHOLE, CallSignature

_HAS_COROUTINE_MARK = 0x100  # in a code object's flags: `types.coroutine`
_METHODS = ("run", "execute", "__call__")
_MAX_NAME = 200


def call(target: Any, *, action: str, params: Mapping[str, Any], context: Any) -> Any:
    """Call what an entrypoint names; a call that does not fit is an `ActionFailure` `invalid_params`."""
    if is_sdk_action(target):
        return _call_sdk_action(target, params, context)
    if isinstance(target, type):
        return _awaited(_call_class(target, action, params, context))
    if callable(target):
        return _awaited(_call_function(target, params, context))
    raise _not_callable(f"it names {type(target).__name__} {target!r:.60}, which is neither a function nor a class")


def _is_awaitable(result: Any) -> bool:
    if isinstance(result, GeneratorType):
        return bool(result.gi_code.co_flags & _HAS_COROUTINE_MARK)
    return getattr(type(result), "__await__", None) is not None


def _awaited(result: Any) -> Any:
    if not _is_awaitable(result):
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
    shape = CallSignature.of(function)
    if shape is None:
        return function(**params)
    _check([shape], params)
    return shape.call(function, params, context)


def _call_class(cls: type, action: str, params: Mapping[str, Any], context: Any) -> Any:
    name = _method_name(cls, action)
    method = CallSignature.of(getattr(cls, name)) or CallSignature.anything()
    if isinstance(_inherited(cls)[name], (staticmethod, classmethod)):
        return _call_function(getattr(cls, name), params, context)
    method = method.without_self()
    constructor = CallSignature.of(cls) or CallSignature.anything()
    _check([constructor, method], params)
    rest = method.names if method.rest is None else params
    instance = constructor.call(cls, params, context, elsewhere=rest)
    return method.call(getattr(instance, name), params, context, elsewhere=constructor.names)


def _method_name(cls: type, action: str) -> str:
    """Choose the method to call: an inherited one counts, what every class has (`type.__call__`) does not."""
    there = _inherited(cls)
    for name in (action, action.replace("-", "_"), *_METHODS):
        if there.get(name) is not None:
            return name
    wanted = f"a method '{action}', `run`, `execute` or `__call__`"
    raise _not_callable(f"the class '{cls.__name__}' has none of these: {wanted}")


def _inherited(cls: type) -> dict[str, Any]:
    """Give a class's attributes as they were defined, those of its bases among them, those of every class left out."""
    return {name: value for base in cls.__mro__[-2::-1] for name, value in vars(base).items()}


def _check(shapes: list[CallSignature], params: Mapping[str, Any]) -> None:
    names = frozenset().union(*(shape.names for shape in shapes))
    takes_all = WHOLE in names or any(shape.rest is not None for shape in shapes)
    missing = [name for shape in shapes for name in shape.missing(params)]
    unexpected = [] if takes_all else [key for key in params if key not in names]
    if missing or unexpected:
        raise _invalid_params(missing, unexpected, shapes)


def _invalid_params(missing: list[str], unexpected: list[str], shapes: list[CallSignature]) -> ActionFailure:
    missing, unexpected = missing[:MAX_FAULTS], [name[:_MAX_NAME] for name in unexpected[:MAX_FAULTS]]
    wrong = [f"'{name}' is missing" for name in missing] + [f"'{name}' is unexpected" for name in unexpected]
    taken = ", ".join(text for text in map(str, shapes) if text)
    errors = [{"loc": ["params", name], "msg": "Field required", "type": "missing"} for name in missing]
    errors += [{"loc": ["params", name], "msg": "Unexpected field", "type": "unexpected"} for name in unexpected]
    message = f"The params do not fit the action: {', '.join(wrong)}. It takes ({taken})."
    return ActionFailure("invalid_params", message, errors=errors)


def _not_callable(why: str) -> ActionFailure:
    return ActionFailure("entrypoint_not_found", f"The entrypoint cannot be called: {why}.")
