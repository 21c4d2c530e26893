"""Actions written with the public SDK, called as that SDK's own executors call them.

Nothing of the SDK is imported for any other action. It comes in one of its releases from the plugin's environment,
where its import path is `synapse_sdk`, and is found here by names only: this package knows no such module.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from .failures import ActionFailure
from .misfits import Misfit, invalid_params

_SDK = "synapse_sdk.plugins"
"""The part of the SDK that an action imports; this project's client, of the same import path, has no such module."""


def is_sdk_action(target: Any) -> bool:
    """Whether a target is a class with a class method `dispatch`, or a function that the SDK's `@action` has marked."""
    if not isinstance(target, type):
        return getattr(target, "_is_action", False) is True
    dispatch = inspect.getattr_static(target, "dispatch", None)
    return isinstance(dispatch, (classmethod, staticmethod)) or _is_of_beta(target)


def action_context(context: Any) -> Any:
    """Give the SDK's runtime context for a run; for a look-alike that has not imported the SDK, the run's own."""
    if _SDK not in sys.modules:
        return context
    from .sdk_context import runtime_context  # most runs have no use for it

    return runtime_context(context)


def call_sdk_action(target: Any, params: Mapping[str, Any], ctx: Any) -> Any:
    """Call an action with its params and the SDK's context; refused params are an `ActionFailure`."""
    call = _call_class if isinstance(target, type) else _call_function
    return call(target, dict(params), ctx)


def check_result(target: Any, result: Any, ctx: Any) -> None:
    """Have the SDK say in the log where a result is not what the action declares; it goes back all the same."""
    model = getattr(target, "result_model" if isinstance(target, type) else "_action_result", None)
    if model is not None and _SDK in sys.modules:
        import_module(f"{_SDK}.action").validate_result(result, model, ctx.logger)


def _is_of_beta(cls: Any) -> bool:
    """Whether this is an action of the SDK's first betas, which have no `dispatch` yet."""
    bases = [base for base in cls.__mro__ if base.__module__ == f"{_SDK}.action"]
    return bool(bases) and not hasattr(cls, "dispatch")


def _call_class(cls: Any, params: dict[str, Any], ctx: Any) -> Any:
    model = getattr(cls, "params_model", None)
    # `dispatch` checks the params itself, but then an error can't be told from one of the action's own, so that they
    # are checked before as well; as a copy, since a validator may change what it is given.
    checked = params if model is None else _validated(model, json.loads(json.dumps(params)), ctx)
    return cls(checked, ctx).execute() if _is_of_beta(cls) else cls.dispatch(params, ctx)


def _call_function(function: Any, params: dict[str, Any], ctx: Any) -> Any:
    try:
        inspect.signature(function).bind(params, ctx)
    except TypeError as error:
        why = f"a function marked by @action is called with (params, ctx), which this one does not take: {error}"
        raise ActionFailure("entrypoint_not_found", f"The entrypoint cannot be called: {why}.") from None
    model = getattr(function, "_action_params", None)
    return function(params if model is None else _validated(model, params, ctx), ctx)


def _validated(model: Any, params: dict[str, Any], ctx: Any) -> Any:
    try:
        return model.model_validate(params, context={"client": getattr(ctx, "client", None)})
    except ValueError as error:
        if not hasattr(error, "errors"):  # not pydantic's ValidationError, which this package can't import
            raise
        raise invalid_params(Misfit.of_pydantic(error, model).faults) from None
