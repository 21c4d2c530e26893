"""Serve the public SDK's `BaseServeDeployment` without Ray Serve: its `infer()`, and the model that a call names.

Ray Serve routes HTTP to the class and keeps a model ID for each request. Here a run's params replace both: the
body is the `json` of the params, as in the SDK's own `dispatch`, or else all of them, and `model` is the ID.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from importlib import import_module
from typing import Any

from .failures import ActionFailure
from .invoke import call_by
from .signatures import CallSignature

_SERVE = "synapse_sdk.plugins.actions.inference.serve"
_HOSTS = ("SYNAPSE_PLUGIN_RUN_HOST", "SYNAPSE_HOST")
_ROUTED = ("model", "method", "json")
"""The params that the SDK's `dispatch` reads; the others are the body if `json` is not among them."""

_model: ContextVar[Any] = ContextVar("synapse_model", default=None)


def check_deployment(target: Any) -> None:
    """Reject what needs Ray Serve itself."""
    if not isinstance(target, type):
        raise _refused("`@serve.deployment`", "use the class itself as entrypoint, without that decorator")
    cls: Any = target
    for name in dir(cls):
        kind = type(getattr(cls, name, None))
        if kind.__module__.startswith("ray.serve"):
            raise _refused(f"the Ray Serve deployment of `{name}`", "remove its decorator")
    if cls.infer_batch.__module__ != _SERVE:
        raise _refused("`infer_batch()`", "Ray Serve collects its requests; implement `infer()`")


def made_deployment(cls: Any) -> Any:
    """Construct it like the SDK's deployment action; `get_model()` then loads the model that the call names."""
    backend = next((os.environ[name] for name in _HOSTS if os.environ.get(name)), "")
    made = cls(backend)
    made.get_model = lambda: _load_model(made, backend)
    return made


def deployment_call(made: Any) -> Callable[[Mapping[str, Any], Any], Any]:
    """Return a function that calls its `infer()` with a run's params and context."""
    shape = CallSignature.of(made.infer)

    def infer(params: Mapping[str, Any], context: Any) -> Any:
        _model.set(params.get("model"))
        body = params["json"] if "json" in params else {k: v for k, v in params.items() if k not in _ROUTED}
        return call_by(shape, made.infer, _arguments(shape, body), context)

    return infer


def _arguments(shape: CallSignature | None, body: Any) -> Mapping[str, Any]:
    """Pass a body like FastAPI: a single parameter receives the body itself, unless the body names it."""
    names = () if shape is None else shape.names
    if len(names) == 1 and not (isinstance(body, dict) and names[0] in body):
        return {names[0]: body}
    if not isinstance(body, dict):
        raise ActionFailure("invalid_params", "The param `json` must be an object with the arguments of `infer`.")
    return body


async def _load_model(made: Any, backend: str) -> Any:
    model = _model.get()
    if model is None:
        message = "`infer()` uses a model, so the call needs the param `model`: its ID in the backend."
        raise ActionFailure("invalid_params", message)
    token = import_module(_SERVE).create_serve_multiplexed_model_id(
        model_id=model,
        token=os.environ.get("SYNAPSE_ACCESS_TOKEN", ""),
        backend_url=backend,
        tenant=os.environ.get("SYNAPSE_TENANT"),
    )
    return await made._load_model_multiplexed(token)


def _refused(what: str, remedy: str) -> ActionFailure:
    message = f"This agent serves a `BaseServeDeployment` without Ray Serve, and cannot serve {what}: {remedy}."
    return ActionFailure("invalid_plugin", message)
