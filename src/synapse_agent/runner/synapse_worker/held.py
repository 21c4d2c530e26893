"""The object of a served worker: a class instance that is constructed once and called for each run, or a function.

- A class is constructed without params, then its `setup` is called if it has one; each run calls its method named
  like the action, or else `predict`, `infer`, `run`, `execute` or `__call__`. Constructor and `setup` can take the
  worker's context; each call gets its own.
- A class of the public SDK's `BaseServeDeployment` is served by its `infer`: see `sdk_serving`.
- An action of the public SDK, which that SDK constructs for each run, and any other callable are called
  for each run as `invoke` does it; what their module has loaded stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .failures import ActionFailure
from .invoke import (
    awaited,
    call,
    call_by,
    is_awaitable,
    method_name,
    not_callable,
    signature_of_method,
    signatures_of,
)
from .sdk_actions import is_sdk_action
from .signatures import CallSignature, says_it_all

METHODS = ("predict", "infer", "run", "execute", "__call__")
"""The methods for a run if the class has none named like the action."""
_SETUP = "setup"


class Held:
    """The object or function of a served action; `make` it once, in the event loop of its calls."""

    def __init__(self, target: Any, action: str) -> None:
        if not callable(target):
            raise not_callable(f"it names {type(target).__name__} {target!r:.60}")
        self._target = target
        self._action = action
        self._call: Callable[[Mapping[str, Any], Any], Any] = self._call_target
        self._is_object = isinstance(target, type) and not is_sdk_action(target)
        if _is_deployment(target):
            from .sdk_serving import check_deployment  # rarely needed

            check_deployment(target)
            self._is_object = True
        self._method = method_name(target, action, METHODS) if self._is_object else ""
        self.is_async = _is_coroutine_function(getattr(target, self._method) if self._is_object else target)
        """Whether its calls are awaited, so that a worker can handle several at once."""

    def make(self, context: Any) -> Any:
        """Construct the object; return what its `setup` returns, which may have to be awaited."""
        if not self._is_object:
            if says_it_all(self._target) and not is_sdk_action(self._target):
                self._call = _caller(self._target)
            return None
        if _is_deployment(self._target):
            from .sdk_serving import deployment_call, made_deployment

            made = made_deployment(self._target)
            self._call = deployment_call(made)
        else:
            made = _made(self._target, context)
            method = getattr(made, self._method)
            self._call = _caller(method)
        setup = getattr(made, _SETUP, None)
        return call_by(CallSignature.of(setup), setup, {}, context) if callable(setup) else None

    def signatures(self) -> list[CallSignature]:
        """Return the signatures of what a call calls, without constructing anything; none if they can't be read."""
        if not self._is_object:
            return signatures_of(self._target, self._action)
        signature = signature_of_method(self._target, self._method)
        return [] if signature is None else [signature]

    def call(self, params: Mapping[str, Any], context: Any) -> Any:
        """Call it for one run; the result may have to be awaited."""
        return self._call(params, context)

    def _call_target(self, params: Mapping[str, Any], context: Any) -> Any:
        return call(self._target, action=self._action, params=params, context=context)


def _caller(function: Callable[..., Any]) -> Callable[[Mapping[str, Any], Any], Any]:
    """Return what calls a function with the params that match its signature, which is read once for all calls."""
    shape = CallSignature.of(function)
    is_plain = shape is not None and says_it_all(getattr(function, "__func__", function))
    types = shape.plain_types() if shape is not None and is_plain else None
    if types is None:
        return lambda params, context: call_by(shape, function, params, context)

    def call_plain(params: Mapping[str, Any], context: Any) -> Any:
        if params.keys() != types.keys():
            return call_by(shape, function, params, context)
        for name, kind in types.items():
            if kind is not Any and kind is not type(params[name]):
                return call_by(shape, function, params, context)
        return function(**params)

    return call_plain


def call_once(target: Any, *, params: Mapping[str, Any], context: Any) -> Any:
    """Construct what a target names, and call it for this run only."""

    async def use() -> Any:
        await _settled(held.make(context))
        return await _settled(held.call(params, context))

    held = Held(target, context.action)
    if held.is_async:
        return awaited(use())
    awaited(held.make(context))
    return awaited(held.call(params, context))


def _made(cls: type, context: Any) -> Any:
    shape = CallSignature.of(cls)
    missing = [] if shape is None else shape.missing({})
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        message = (
            f"The class '{cls.__name__}' is served, so it is constructed once, before any call: its constructor cannot"
            f" require {names}. Add {'a default' if len(missing) == 1 else 'defaults'}, read the plugin's"
            " `env`, or accept it in the method."
        )
        raise ActionFailure("invalid_plugin", message)
    return call_by(shape, cls, {}, context)


async def _settled(result: Any) -> Any:
    return await result if is_awaitable(result) else result


def _is_coroutine_function(function: Any) -> bool:
    import inspect

    candidates = (inspect.unwrap(function), getattr(function, "__call__", None))  # noqa: B004 - of an object's class
    return any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in candidates)


def _is_deployment(target: Any) -> bool:
    """Return whether this is the public SDK's class for Ray Serve, or a deployment created by Ray Serve."""
    kinds = target.__mro__ if isinstance(target, type) else type(target).__mro__
    return any(
        (each.__name__, each.__module__.partition(".")[0])
        in (("BaseServeDeployment", "synapse_sdk"), ("Deployment", "ray"))
        for each in kinds
    )
