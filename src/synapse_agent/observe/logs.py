"""The agent's log: one line per event, as text or JSON.

Modules use Python's own loggers, with facts as `extra`. The log never contains a token, params or output, and foreign
text can't end a line or move a terminal's cursor.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, TextIO

from synapse_agent.settings import Settings
from synapse_agent.util.changes import Change

logger = logging.getLogger("synapse_agent")

_Renderer = Callable[[str, str, str, Mapping[str, Any], str | None], str]
"""Makes a line of its time, level, event, facts and traceback."""
_is_plain = re.compile(r"[a-zA-Z0-9\-_.,:/@+%~]+").fullmatch
_OF_EVERY_RECORD = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime"))
_WITH_ADDRESSES = ("httpx", "httpx2", "httpcore")
"""Libraries that log whole addresses and headers, which may contain a signature or a token."""


_own_handler: _LineHandler | None = None
"""The handler of this process's log, if it is the agent's own."""


def configure_logging(settings: Settings) -> None:
    """Write this process's log to stderr, in the configured format."""
    global _own_handler
    handler = _own_handler = _LineHandler(_LineFormatter({"text": _as_text, "json": _as_json}[settings.log_format]))
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler])
    # Lines have no place in the code, thread and process: finding these takes a third of the time.
    logging._srcfile = None  # as Python's documentation suggests
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logger.setLevel(level)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    for library in _WITH_ADDRESSES:
        logging.getLogger(library).setLevel(logging.WARNING)


def log_facts(to: logging.Logger, level: int, what: str, facts: Mapping[str, Any]) -> None:
    """Log an event with facts, as `to.log(level, what, extra=facts)` does.

    If `configure_logging` has set up the only handler, the line is written without a record: in a third of the time.
    """
    if not to.isEnabledFor(level):
        return
    if _own_handler is not None and logging.root.handlers == [_own_handler] and not (to.handlers or to.filters):
        _own_handler.write_line(level, what, facts)
    else:
        to.log(level, "%s", what, extra=facts)


def logs_details() -> bool:
    """Return whether the log has details of changes."""
    return logger.isEnabledFor(logging.DEBUG)


def log_change(change: Change) -> None:
    """Log a change of a job, a release or an environment."""
    level = logging.DEBUG if change.is_detail else logging.INFO
    if not logger.isEnabledFor(level):
        return
    facts: dict[str, Any] = {change.kind: change.name}
    for key, value in change.facts.items():
        if key == "timings":
            facts |= {f"{phase}_seconds": round(seconds, 4) for phase, seconds in value.items()}  # no 1.5e-05
        elif value is not None:
            facts[key] = value
    log_facts(logger, level, f"{change.kind} {change.what}", facts)


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes each line by one call, within the lock that every handler has."""

    def __init__(self, formatter: _LineFormatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._line = formatter.line

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(self.format(record))
        except Exception:  # noqa: BLE001 - as the base class: a log that can't be written ends nothing
            self.handleError(record)

    def write_line(self, level: int, what: str, facts: Mapping[str, Any]) -> None:
        """Write the line that a record with these facts would be."""
        try:
            line = self._line(time.time(), logging.getLevelName(level), what, facts, None)
            with self.lock or nullcontext():
                self._write(line)
        except Exception:  # noqa: BLE001 - as above
            self.handleError(logging.makeLogRecord({"msg": what, "levelno": level}))

    def _write(self, line: str) -> None:
        self.stream.write(line + self.terminator)
        self.stream.flush()


class _LineFormatter(logging.Formatter):
    """Formats a record as a line."""

    def __init__(self, render: _Renderer) -> None:
        super().__init__()
        self._render = render
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        facts = {name: value for name, value in record.__dict__.items() if name not in _OF_EVERY_RECORD}
        trace = self.formatException(record.exc_info) if record.exc_info else None
        return self.line(record.created, record.levelname, record.getMessage(), facts, trace)

    def line(self, created: float, level: str, what: str, facts: Mapping[str, Any], trace: str | None) -> str:
        """Return the line of an event."""
        return self._render(self._timestamp(created), level, what, facts, trace)

    def _timestamp(self, created: float) -> str:
        second = int(created)
        if second != self._second[0]:
            self._second = (second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        return f"{self._second[1]}.{int((created - second) * 1e6):06}Z"


def _as_json(at: str, level: str, what: str, facts: Mapping[str, Any], trace: str | None) -> str:
    line = {"timestamp": at, "level": level.lower(), "event": what, **facts}
    return json.dumps(line if trace is None else {**line, "exception": trace}, default=str)


def _as_text(at: str, level: str, what: str, facts: Mapping[str, Any], trace: str | None) -> str:
    shown = "".join([f" {name}={_shown(str(value))}" for name, value in facts.items()])
    return f"{at} {level:<7} {escaped(what)}{shown}{'' if trace is None else _indented(trace)}"


def escaped(text: str) -> str:
    """Return a text with all characters escaped that end a line, move a cursor or are invisible."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _shown(text: str) -> str:
    return text if _is_plain(text) else '"' + escaped(text.replace('"', '\\"')) + '"'


def _indented(trace: str) -> str:
    return "".join(f"\n    {escaped(line)}" for line in trace.splitlines())
