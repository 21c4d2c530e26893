"""The context that an action receives beside its params."""

from __future__ import annotations

import operator
import os
import sys
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import protocol
from .plain_values import NonFinite, shown
from .reports import Reports
from .results import JsonText, any_to_json, to_json

if TYPE_CHECKING:
    import logging
    from pathlib import Path

_PROGRESS_SECONDS = 0.05
_MAX_PLACES = 20
"""Places of NaN and infinities that a report lists."""


class Context:
    """The run for its action: facts about it, and methods to report progress."""

    def __init__(
        self, reports: Reports, *, job_id: str, action: str, language: str | None, outputs: str, storage: str
    ) -> None:
        self.job_id = job_id
        self.action = action
        self.language = language
        self.outputs_folder = outputs  # as text: a `Path` would make each run import pathlib
        self._storage = storage
        self._reports = reports
        self._unsent: bytes | None = None
        self._sent_at = 0.0

    @property
    def env(self) -> MutableMapping[str, str]:
        """The environment variables of the run, including the plugin's `env`."""
        return os.environ

    @property
    def outputs(self) -> Path:
        """The folder for files that outlive the run, as files of its job."""
        from pathlib import Path  # rarely needed

        return Path(self.outputs_folder)

    @property
    def storage(self) -> Path:
        """The plugin's own folder, whose content stays for later runs of all its versions."""
        from pathlib import Path  # as above

        return Path(self._storage)

    @property
    def logger(self) -> logging.Logger:
        """A `logging.Logger` that writes to the job's log, from INFO on."""
        import logging  # rarely needed

        logger = logging.getLogger(f"synapse.{self.action}")
        if not logger.handlers:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
            logger.propagate = False
        return logger

    def set_progress(self, current: float, total: float | None = None, step: str | None = None) -> None:
        """Set the progress of the action or of a step; of many calls in a short time, the last is reported.

        NaN and infinities become `null`. So does a value that is not a number, and the log names it: no value raises.
        """
        far = {"current": _number("current", current), "total": None if total is None else _number("total", total)}
        named = {} if step is None else {"step": _short_text(step)}
        self._unsent = _report({"type": "progress", **far, **named})
        if time.monotonic() - self._sent_at >= _PROGRESS_SECONDS:
            self.flush()

    def log(self, event: str, data: Any = None) -> None:
        """Record an event with up to some 60 kB of data; of more, only the beginning of its `repr` is kept.

        NaN and infinities become `null`, and a `repr` replaces what JSON can't express: no value raises.
        """
        self._flush_all()
        self._send(_report({"type": "event", "event": _short_text(event), "data": data}))

    def output(self, value: bytes) -> None:
        """Report a value that the action yielded, as JSON."""
        self._flush_all()
        self._reports.value(value)

    def describe_result(self, is_generator: bool, nonfinite: NonFinite) -> None:
        """Record that the action yields, and the places of NaN and infinities in its result."""
        facts = {**({"generator": True} if is_generator else {}), **nonfinite.fields}
        if facts:
            self._send(_report({"type": "result", **facts}))

    def flush(self) -> None:
        """Report held-back progress."""
        if self._unsent is not None:
            self._send(self._unsent)
            self._unsent, self._sent_at = None, time.monotonic()

    def _flush_all(self) -> None:
        """Flush progress and output before a report."""
        self.flush()
        with suppress(Exception):  # the action may have closed it
            sys.stdout.flush()

    def _send(self, report: bytes) -> None:
        with suppress(OSError):  # the action may have closed the descriptor
            self._reports.event(report)


def _number(name: str, value: Any) -> float | None:
    """Return a number as a Python number; also scalars of numpy and torch, decimals and fractions."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    for read in (operator.index, float):
        with suppress(Exception):  # the class may be the plugin's
            return read(value)
    with suppress(Exception):
        print(f"set_progress: {name} must be a number, not {shown(value):.80}", file=sys.stderr)
    return None


def _short_text(value: Any) -> str:
    return shown(value, str)


def _report(report: dict[str, Any]) -> bytes:
    """Format a report that fits into one message, whatever its values are."""
    written = any_to_json(report)
    payload = _with_fields(written)
    if len(payload) <= protocol.MAX_PAYLOAD:
        return payload
    left_out = f"This is the beginning of {len(payload)} bytes; the limit for an event is {protocol.MAX_PAYLOAD}."
    return any_to_json({**report, "data": shown(report["data"]), "left_out": left_out}).text


def _with_fields(written: JsonText) -> bytes:
    """Add to a report the places of its NaN and infinities."""
    if not written.nonfinite.total:
        return written.text
    total, places = written.nonfinite
    fields = NonFinite(total, places[:_MAX_PLACES]).fields
    return written.text[:-1] + b"," + to_json(fields).text[1:]
