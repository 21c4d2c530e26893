"""The public SDK's runtime context, which reports progress and messages as this run's."""

from __future__ import annotations

import dataclasses
import logging
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .failures import ActionFailure

if TYPE_CHECKING:
    from .context import Context

_CLIENTS = (
    ("client", "utils.auth", "create_backend_client"),
    ("v2_client", "utils.auth", "create_backend_client_v2"),
    ("v2_client", "utils.auth", "create_backend_v2_client"),  # its name in earlier releases
    ("agent_client", "utils.agent", "create_agent_client"),
)
"""Fields of the context, and the functions that create them if the run's environment variables suffice."""


def runtime_context(run: Context) -> Any:
    """Build the context that the SDK's own executors pass to an action, as far as its release has the fields.

    Raises `ActionFailure` `invalid_plugin` for an unknown SDK. Python's own `logging` writes to the
    job's log from INFO on, as under those executors.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        return _built(run)
    except (ImportError, AttributeError, TypeError) as error:
        why = f"the `synapse_sdk` in the plugin's environment has an unknown structure ({error})"
        message = f"The action's runtime context cannot be created: {why}. Require another release of synapse-sdk."
        raise ActionFailure("invalid_plugin", message) from error


def _built(run: Context) -> Any:
    kind = _module("plugins.context").RuntimeContext
    fields = {field.name for field in dataclasses.fields(kind)}
    given = {
        "logger": _logger(run),
        "env": _module("plugins.context.env").PluginEnvironment.from_environ(),
        "job_id": run.job_id,
        "language": run.language,
        **_clients(fields),
    }
    return kind(**{name: value for name, value in given.items() if name in fields})


def _clients(fields: set[str]) -> dict[str, Any]:
    clients: dict[str, Any] = {}
    for field, module, function in _CLIENTS:
        if field in fields and field not in clients:
            try:
                make = getattr(_module(module), function)
            except (ModuleNotFoundError, AttributeError):
                continue  # this release has no such name
            clients[field] = make()
    return clients


def _logger(run: Context) -> Any:
    base = _module("loggers").BaseLogger
    return type("AgentLogger", (_Reporting, base), {"_sdk": base, "_run": run})()


def _module(name: str) -> Any:
    return import_module(f"synapse_sdk.{name}")


class _Reporting:
    """A mixin that makes the SDK's `BaseLogger` report to the agent.

    It adds the methods that every concrete logger of the SDK has.
    """

    _sdk: Any
    """The SDK's class."""
    _run: Context

    def set_progress(self, current: float, total: float, step: str | None = None) -> None:
        """Report progress, with its step, even if the SDK rejects it."""
        with suppress(Exception):  # no report ends an action
            self._sdk.set_progress(self, current, total, step)
        self._run.set_progress(current, total, step=self._effective_step(step))

    def set_progress_failed(self, step: str | None = None) -> None:
        """Record that a step failed."""
        self._sdk.set_progress_failed(self, step)
        self._log_impl("progress_failed", {}, None, self._effective_step(step))

    def log_event(self, event: str, data: dict[str, Any], file: str | None = None) -> None:
        """Record an event."""
        self._log_impl(event, data, file, self._effective_step())

    def log_message(self, message: str, level: Any = None, *, context: Any = None) -> None:
        """Record a message for the user; `context` is an earlier name of `level`."""
        self._log_impl("message", {"content": message}, None, self._effective_step(), level or context or "info")

    def log_metric(self, category: str, key: str, value: float, **metrics: Any) -> None:
        """Record a metric."""
        self.log_event("metric", {"category": category, "key": key, "value": value, "metrics": metrics})

    def log_visualization(self, category: str, group: str, index: int, image: str, **meta: Any) -> None:
        """Record the place of an image."""
        self.log_event("visualization", {"category": category, "group": group, "index": index, **meta}, image)

    def log_trials(self, data: dict[str, Any] | None = None, **parts: Any) -> None:
        """Record the trials of a tuning, either whole or in parts."""
        given = {name: part for name, part in parts.items() if part is not None}
        self.log_event("trials", given if data is None else data)

    def _on_metrics(self, step: str, metrics: dict[str, Any]) -> None:
        self._log_impl("metrics", {"metrics": metrics}, None, step)

    def _log_impl(
        self, event: str, data: dict[str, Any], file: str | None = None, step: str | None = None, level: Any = None
    ) -> None:
        more = {"level": getattr(level, "value", level), "step": step, "file": file}
        about = {name: value for name, value in more.items() if value is not None}
        self._run.log(event, {**about, **(data if isinstance(data, dict) else {"data": data})})

    def _effective_step(self, step: str | None = None) -> str | None:
        """Return the step of a report: the named one, or the current one, which the first beta lacks."""
        current = getattr(self._sdk, "get_step", _none)(self) if step is None else step
        return None if current is None else str(current)


def _none(_: Any) -> None:
    return None
