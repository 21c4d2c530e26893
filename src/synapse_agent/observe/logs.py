"""The agent's log: one line per event, as text or JSON.

Modules use Python's own loggers, with facts as `extra`. The log never contains a token, params or output, and foreign
text can't end a line or move a terminal's cursor.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from synapse_agent.settings import Settings
from synapse_agent.util.changes import Change

logger = logging.getLogger("synapse_agent")

_Renderer = Callable[[str, str, str, Mapping[str, Any], str | None], str]
"""Makes a line of its time, level, event, facts and traceback."""
_PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,:/@+%~")
_OF_EVERY_RECORD = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime"))
_WITH_ADDRESSES = ("httpx", "httpx2", "httpcore")
"""Libraries that log whole addresses and headers, which may contain a signature or a token."""


def configure_logging(settings: Settings) -> None:
    """Write this process's log to stderr, in the configured format."""
    handler = _LineHandler()
    handler.setFormatter(_LineFormatter({"text": _as_text, "json": _as_json}[settings.log_format]))
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler])
    # Lines have no place in the code, thread and process: finding these takes a third of the time.
    logging._srcfile = None  # as Python's documentation suggests
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logger.setLevel(level)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    for library in _WITH_ADDRESSES:
        logging.getLogger(library).setLevel(logging.WARNING)


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
    logger.log(level, "%s %s", change.kind, change.what, extra=facts)


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes each line by one call, within the lock that every handler has."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.stream.write(self.format(record) + self.terminator)
            self.stream.flush()
        except Exception:  # noqa: BLE001 - as the base class: a log that can't be written ends nothing
            self.handleError(record)


class _LineFormatter(logging.Formatter):
    """Formats a record as a line."""

    def __init__(self, render: _Renderer) -> None:
        super().__init__()
        self._render = render
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        facts = {name: value for name, value in record.__dict__.items() if name not in _OF_EVERY_RECORD}
        trace = self.formatException(record.exc_info) if record.exc_info else None
        return self._render(self._timestamp(record.created), record.levelname, record.getMessage(), facts, trace)

    def _timestamp(self, created: float) -> str:
        second = int(created)
        if second != self._second[0]:
            self._second = (second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        return f"{self._second[1]}.{int((created - second) * 1e6):06}Z"


def _as_json(time: str, level: str, what: str, facts: Mapping[str, Any], trace: str | None) -> str:
    line = {"timestamp": time, "level": level.lower(), "event": what, **facts}
    return json.dumps(line if trace is None else {**line, "exception": trace}, default=str)


def _as_text(time: str, level: str, what: str, facts: Mapping[str, Any], trace: str | None) -> str:
    texts = list(map(str, facts.values()))
    if not (all(texts) and _PLAIN.issuperset("".join(texts))):
        texts = list(map(_shown, texts))
    shown = "".join([f" {name}={text}" for name, text in zip(facts, texts, strict=True)])
    return f"{time} {level:<7} {escaped(what)}{shown}{'' if trace is None else _indented(trace)}"


def escaped(text: str) -> str:
    """Return a text with all characters escaped that end a line, move a cursor or are invisible."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _shown(text: str) -> str:
    return text if text and _PLAIN.issuperset(text) else '"' + escaped(text.replace('"', '\\"')) + '"'


def _indented(trace: str) -> str:
    return "".join(f"\n    {escaped(line)}" for line in trace.splitlines())
