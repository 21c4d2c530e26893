"""The agent's log: one line per event, as text or JSON.

Modules use Python's own loggers, with facts as `extra`; structlog formats the lines. The log never contains
a token, params or output, and foreign text can't end a line or move a terminal's cursor.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from synapse_agent.settings import Settings
from synapse_agent.util.changes import Change

logger = logging.getLogger("synapse_agent")

_Processor = Callable[[Any, str, MutableMapping[str, Any]], Any]
_PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,:/@+%~")
_OF_EVERY_RECORD = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime"))
_WITH_ADDRESSES = ("httpx", "httpx2", "httpcore")
"""Libraries that log whole addresses and headers, which may contain a signature or a token."""


def configure_logging(settings: Settings) -> None:
    """Write this process's log to stderr, in the configured format."""
    handler = _LineHandler()
    handler.setFormatter(_formatter(settings.log_format))
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler])
    # No line has the place in the code, the thread or the process that it comes from: finding these takes a third.
    logging._srcfile = None  # as Python's guide to logging has it
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


def _formatter(log_format: str) -> logging.Formatter:
    # Imported here, since it takes as long to load as the rest of the agent, and only `serve` needs it.
    from structlog.processors import format_exc_info

    renderers: dict[str, _Processor] = {"text": _as_text, "json": _as_json}
    return _LineFormatter([format_exc_info, renderers[log_format]])


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes each line by one call, within the lock that every handler has."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.stream.write(self.format(record) + self.terminator)
            self.stream.flush()
        except Exception:  # noqa: BLE001 - as the base class: a log that can't be written ends nothing
            self.handleError(record)


class _LineFormatter(logging.Formatter):
    """Has structlog's processors make a line; structlog's own formatter takes longer to copy a record first."""

    def __init__(self, processors: Sequence[_Processor]) -> None:
        super().__init__()
        self._processors = processors
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        line: Any = {
            "timestamp": self._timestamp(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _OF_EVERY_RECORD}
        if record.exc_info:
            line["exc_info"] = record.exc_info
        for process in self._processors:
            line = process(None, "", line)
        return str(line)

    def _timestamp(self, created: float) -> str:
        second = int(created)
        if second != self._second[0]:
            self._second = (second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        return f"{self._second[1]}.{int((created - second) * 1e6):06}Z"


def _as_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return json.dumps(event, default=str)


def _as_text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    time, level, what = event.pop("timestamp"), event.pop("level"), event.pop("event")
    trace = event.pop("exception", None)
    texts = [str(value) for value in event.values()]
    if not (all(texts) and _PLAIN.issuperset("".join(texts))):
        texts = list(map(_shown, texts))
    facts = "".join([f" {name}={text}" for name, text in zip(event, texts, strict=True)])
    return f"{time} {level.upper():<7} {escaped(what)}{facts}{_indented(trace)}"


def escaped(text: str) -> str:
    """Return a text with all characters escaped that end a line, move a cursor or are invisible."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _shown(text: str) -> str:
    return text if text and _PLAIN.issuperset(text) else '"' + escaped(text.replace('"', '\\"')) + '"'


def _indented(trace: object) -> str:
    return "" if trace is None else "".join(f"\n    {escaped(line)}" for line in str(trace).splitlines())
