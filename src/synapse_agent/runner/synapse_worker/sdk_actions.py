"""Actions written with the public SDK, called like that SDK's own executors do.

For other actions, nothing of the SDK is imported. The plugin's environment contains one of its releases,
with the import path `synapse_sdk`; this package refers to it by names only, since it knows no such module.
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
"""The part of the SDK that actions import; this project's client, with the same import path, has no such module."""


def is_sdk_action(target: Any) -> bool:
    """Return whether a target is a class with a class method `dispatch`, or a function with the SDK's `@action`."""
    if not isinstance(target, type):
        return getattr(target, "_is_action", False) is True
    dispatch = inspect.getattr_static(target, "dispatch", None)
    return isinstance(dispatch, (classmethod, staticmethod)) or _is_of_beta(target)


def action_context(context: Any) -> Any:
    """Return the SDK's runtime context for a run; for a look-alike that has not imported the SDK, the run's own."""
    if _SDK not in sys.modules:
        return context
    from .sdk_context import runtime_context  # rarely needed

    return runtime_context(context)


def call_sdk_action(target: Any, params: Mapping[str, Any], ctx: Any) -> Any:
    """Call an action with its params and the SDK's context; invalid params raise `ActionFailure`."""
    call = _call_class if isinstance(target, type) else _call_function
    return call(target, dict(params), ctx)


def check_result(target: Any, result: Any, ctx: Any) -> None:
    """Make the SDK log how a result differs from the action's declaration; the run returns it in any case."""
    model = getattr(target, "result_model" if isinstance(target, type) else "_action_result", None)
    if model is not None and _SDK in sys.modules:
        import_module(f"{_SDK}.action").validate_result(result, model, ctx.logger)


def _is_of_beta(cls: Any) -> bool:
    """Return whether this is an action of the SDK's first betas, which lack `dispatch`."""
    bases = [base for base in cls.__mro__ if base.__module__ == f"{_SDK}.action"]
    return bool(bases) and not hasattr(cls, "dispatch")


def _call_class(cls: Any, params: dict[str, Any], ctx: Any) -> Any:
    model = getattr(cls, "params_model", None)
    # `dispatch` checks the params itself, but its error looks like one of the action's own, so they
    # are also checked before; as a copy, since a validator may change its input.
    checked = params if model is None else _validated(model, json.loads(json.dumps(params)), ctx)
    return cls(checked, ctx).execute() if _is_of_beta(cls) else cls.dispatch(params, ctx)


def _call_function(function: Any, params: dict[str, Any], ctx: Any) -> Any:
    try:
        inspect.signature(function).bind(params, ctx)
    except TypeError as error:
        why = f"a function marked by @action is called with (params, ctx), which this one does not accept: {error}"
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
