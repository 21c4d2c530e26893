"""Call an action according to the signature of its entrypoint.

- A class is constructed, then its method named like the action is called, or else `run`, `execute` or `__call__`.
  Constructor and method each receive the parameters that they name; one with `**kwargs` also receives those that the
  other does not name (the method, if both have `**kwargs`).
- An action of the public SDK is called as that SDK does: see `sdk_actions`.
- Any other callable is called with the parameters that it names.
- A parameter called `params` receives the whole params object. The call then accepts every key, and other parameters
  still receive the key of their name.
- A parameter called `context` or `ctx` receives the run's context, unless the caller's params have that key, or it
  has a default and is not annotated as a context.
- Values are converted according to annotations: see `conversion`.
- What is awaitable is awaited.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import GeneratorType
from typing import Any

from .failures import ActionFailure
from .misfits import Misfit, fault, invalid_params
from .sdk_actions import action_context, call_sdk_action, check_result, is_sdk_action
from .signatures import WHOLE, CallSignature

_HAS_COROUTINE_MARK = 0x100  # in a code object's flags: `types.coroutine`
_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__))
_PYDANTIC = f"{os.sep}pydantic{os.sep}"
_METHODS = ("run", "execute", "__call__")


def call(target: Any, *, action: str, params: Mapping[str, Any], context: Any) -> Any:
    """Call what an entrypoint names; a call that does not match raises `ActionFailure` `invalid_params`."""
    if is_sdk_action(target):
        return _call_sdk_action(target, params, context)
    if isinstance(target, type):
        return awaited(_call_class(target, action, params, context))
    _check_callable(target)
    return awaited(_call_function(target, params, context))


def signatures_of(target: Any, action: str) -> list[CallSignature]:
    """Return the signatures of what `call` calls, without calling anything; none if they can't be read.

    A target that can't be called raises `ActionFailure`, as in `call`.
    """
    if not isinstance(target, type):
        _check_callable(target)
        return [each for each in [CallSignature.of(target)] if each is not None]
    name = method_name(target, action)
    signatures = [] if _needs_no_object(target, name) else [CallSignature.of(target)]
    return [each for each in (*signatures, signature_of_method(target, name)) if each is not None]


def signature_of_method(cls: type, name: str) -> CallSignature | None:
    """Return the signature of a method; None if it can't be read."""
    signature = CallSignature.of(getattr(cls, name))
    return signature if signature is None or _needs_no_object(cls, name) else signature.without_self()


def _needs_no_object(cls: type, name: str) -> bool:
    return isinstance(_inherited(cls)[name], (staticmethod, classmethod))


def _check_callable(target: Any) -> None:
    if not callable(target):
        what = f"{type(target).__name__} {target!r:.60}"
        raise not_callable(f"it names {what}, which is neither a function nor a class")


def is_awaitable(result: Any) -> bool:
    """Return whether a result has to be awaited, as `inspect.isawaitable` does, without importing that."""
    if isinstance(result, GeneratorType):
        return bool(result.gi_code.co_flags & _HAS_COROUTINE_MARK)
    return getattr(type(result), "__await__", None) is not None


def awaited(result: Any) -> Any:
    """Return a result, or what awaiting it returns."""
    if not is_awaitable(result):
        return result
    import asyncio  # takes 30 ms, and is rarely needed

    async def wait() -> Any:
        return await result

    return asyncio.run(wait())


def _call_sdk_action(target: Any, params: Mapping[str, Any], context: Any) -> Any:
    ctx = action_context(context)
    result = awaited(call_sdk_action(target, params, ctx))
    check_result(target, result, ctx)
    return result


def _call_function(function: Callable[..., Any], params: Mapping[str, Any], context: Any) -> Any:
    return call_by(CallSignature.of(function), function, params, context)


def call_by(
    signature: CallSignature | None, function: Callable[..., Any], params: Mapping[str, Any], context: Any
) -> Any:
    """Call a function with the params that match its signature, or with all of them if the signature can't be read."""
    if signature is None:
        return function(**params)
    (named,) = _bound([signature], params, context)
    try:
        return signature.call(function, named, params)
    except ValueError as error:
        _check_arguments(error, function)
        raise


def _call_class(cls: type, action: str, params: Mapping[str, Any], context: Any) -> Any:
    name = method_name(cls, action)
    method = CallSignature.of(getattr(cls, name)) or CallSignature.anything()
    if _needs_no_object(cls, name):
        return _call_function(getattr(cls, name), params, context)
    method = method.without_self()
    constructor = CallSignature.of(cls) or CallSignature.anything()
    for_constructor, for_method = _bound([constructor, method], params, context)
    rest = method.names if method.rest is None else params
    try:
        instance = constructor.call(cls, for_constructor, params, elsewhere=rest)
        return method.call(getattr(instance, name), for_method, params, elsewhere=constructor.names)
    except ValueError as error:
        _check_arguments(error, cls)
        raise


def method_name(cls: type, action: str, others: Sequence[str] = _METHODS) -> str:
    """Choose the method to call: inherited ones count, but not those that every class has (`type.__call__`)."""
    there = _inherited(cls)
    for name in (action, action.replace("-", "_"), *others):
        if there.get(name) is not None:
            return name
    wanted = f"a method '{action}', {', '.join(f'`{name}`' for name in others[:-1])} or `{others[-1]}`"
    raise not_callable(f"the class '{cls.__name__}' has none of these: {wanted}")


def _inherited(cls: type) -> dict[str, Any]:
    """Return a class's attributes as defined, with those of its bases, but without those of `object`."""
    return {name: value for base in cls.__mro__[-2::-1] for name, value in vars(base).items()}


def _bound(signatures: list[CallSignature], params: Mapping[str, Any], context: Any) -> list[dict[str, Any]]:
    """Return the arguments of each call, or raise an `ActionFailure` with all misfits."""
    names = frozenset().union(*(signature.names for signature in signatures))
    takes_all = WHOLE in names or any(signature.rest is not None for signature in signatures)
    missing = [name for signature in signatures for name in signature.missing(params)]
    unexpected = [] if takes_all else [key for key in params if key not in names]
    faults = [fault([name], params, "missing", "Field required") for name in missing]
    faults += [fault([name], params[name], "unexpected", "Unexpected field") for name in unexpected]
    bound = []
    for signature in signatures:
        try:
            bound.append(signature.bound(params, context))
        except Misfit as misfit:
            faults += misfit.faults
    if faults:
        raise invalid_params(faults, ", ".join(text for text in map(str, signatures) if text))
    return bound


def _check_arguments(error: ValueError, target: Any) -> None:
    """Report pydantic's error about arguments (`validate_call`, a model as a class) as an error about params."""
    if _is_about_arguments(error):
        raise invalid_params(Misfit.of_pydantic(error, target).faults) from None


def _is_about_arguments(error: ValueError) -> bool:
    """Return whether an error is pydantic's, raised before any code of the plugin ran."""
    if not type(error).__module__.startswith("pydantic") or not callable(getattr(error, "errors", None)):
        return False
    frames, files = error.__traceback__, set()
    while frames is not None:
        files.add(frames.tb_frame.f_code.co_filename)
        frames = frames.tb_next
    return all(os.path.dirname(file) == _OWN_FOLDER or _PYDANTIC in file for file in files)


def not_callable(why: str) -> ActionFailure:
    """Return the failure of an entrypoint that names nothing callable."""
    return ActionFailure("entrypoint_not_found", f"The entrypoint cannot be called: {why}.")
