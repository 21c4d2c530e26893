"""What an action is given beside its params."""

from __future__ import annotations

import operator
import os
import sys
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import protocol
from .failures import ActionFailure
from .reports import Reports
from .results import to_json

if TYPE_CHECKING:
    import logging
    from pathlib import Path

_PROGRESS_SECONDS = 0.05


class Context:
    """A run as its action sees it: what it is, and how it reports its progress."""

    def __init__(self, reports: Reports, *, job_id: str, action: str, language: str | None, outputs: str) -> None:
        self.job_id = job_id
        self.action = action
        self.language = language
        self._outputs = outputs
        self._reports = reports
        self._unsent: bytes | None = None
        self._sent_at = 0.0

    @property
    def env(self) -> MutableMapping[str, str]:
        """The environment variables of the run, the plugin's `env` among them."""
        return os.environ

    @property
    def outputs(self) -> Path:
        """The folder whose files outlive the run, as files of its job."""
        from pathlib import Path  # most actions have no use for it

        return Path(self._outputs)

    @property
    def logger(self) -> logging.Logger:
        """A `logging.Logger` that writes to the job's log, from INFO on."""
        import logging  # most actions have no use for it

        logger = logging.getLogger(f"synapse.{self.action}")
        if not logger.handlers:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
            logger.propagate = False
        return logger

    def set_progress(self, current: float, total: float | None = None, step: str | None = None) -> None:
        """Tell how far the action is, or one step of it; of many calls in a short time, the last is passed on."""
        far = {"current": _number("current", current), "total": None if total is None else _number("total", total)}
        named = {} if step is None else {"step": _text("step", step)}
        self._unsent = _written("progress", {"type": "progress", **far, **named})
        if time.monotonic() - self._sent_at >= _PROGRESS_SECONDS:
            self.flush()

    def log(self, event: str, data: Any = None) -> None:
        """Record an event with data that JSON can say, up to some 60 kB."""
        self.flush()
        sys.stdout.flush()  # so that what was printed before stands before the event
        self._reports.event(
            _written(f"event {event!r}", {"type": "event", "event": _text("event", event), "data": data})
        )

    def flush(self) -> None:
        """Pass on progress that was held back."""
        if self._unsent is not None:
            self._reports.event(self._unsent)
            self._unsent, self._sent_at = None, time.monotonic()


def _number(name: str, value: Any) -> float:
    """Give a number as one of Python's own; numpy's and torch's scalars, decimals and fractions are some."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    for read in (operator.index, float):
        with suppress(TypeError, ValueError):
            return read(value)
    raise TypeError(f"{name} must be a number, not {type(value).__name__}")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value


def _written(what: str, report: dict[str, Any]) -> bytes:
    try:
        payload = to_json(report)
    except ActionFailure as failure:
        raise TypeError(f"{what} cannot be written as JSON: see {failure.fields['path']} in {report!r:.200}") from None
    if len(payload) > protocol.MAX_PAYLOAD:
        raise ValueError(f"{what} has {len(payload)} bytes; {protocol.MAX_PAYLOAD} are allowed")
    return payload
