"""The agent's log: one line per event, as text or JSON.

Modules use Python's own loggers, with facts as `extra`; structlog formats the lines. The log never contains
a token, params or output, and foreign text can't end a line or move a terminal's cursor.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, MutableMapping
from typing import Any

from synapse_agent.settings import Settings
from synapse_agent.util.changes import Change

logger = logging.getLogger("synapse_agent")

_PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,:/@+%~")
_WITH_ADDRESSES = ("httpx", "httpx2", "httpcore")
"""Libraries that log whole addresses and headers, which may contain a signature or a token."""


def configure_logging(settings: Settings) -> None:
    """Write this process's log to stderr, in the configured format."""
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(settings.log_format))
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler])
    logger.setLevel(level)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    for library in _WITH_ADDRESSES:
        logging.getLogger(library).setLevel(logging.WARNING)


def log_change(change: Change) -> None:
    """Log a change of a job, a release or an environment."""
    level = logging.DEBUG if change.what == "progressed" else logging.INFO
    if logger.isEnabledFor(level):
        facts = {key: value for key, value in change.facts.items() if value is not None and key != "timings"}
        facts |= {f"{phase}_seconds": seconds for phase, seconds in change.facts.get("timings", {}).items()}
        logger.log(level, "%s %s", change.kind, change.what, extra={change.kind: change.name, **facts})


def _formatter(log_format: str) -> logging.Formatter:
    # Imported here, since it takes as long to load as the rest of the agent, and only `serve` needs it.
    from structlog import stdlib
    from structlog.processors import TimeStamper, format_exc_info

    renderers: dict[str, Callable[[Any, str, MutableMapping[str, Any]], str]] = {"text": _as_text, "json": _as_json}
    return stdlib.ProcessorFormatter(
        foreign_pre_chain=[stdlib.add_log_level, TimeStamper(fmt="iso", utc=True), stdlib.ExtraAdder()],
        processors=[stdlib.ProcessorFormatter.remove_processors_meta, format_exc_info, renderers[log_format]],
    )


def _as_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    first = {name: event.pop(name) for name in ("timestamp", "level", "event")}
    return json.dumps({**first, **event}, default=str)


def _as_text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    time, level, what = (str(event.pop(name)) for name in ("timestamp", "level", "event"))
    trace = event.pop("exception", None)
    facts = "".join(f" {name}={_shown(value)}" for name, value in event.items())
    return f"{time} {level.upper():<7} {escaped(what)}{facts}{_indented(trace)}"


def escaped(text: str) -> str:
    """Return a text with all characters escaped that end a line, move a cursor or are invisible."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _shown(value: object) -> str:
    text = str(value)
    return text if text and _PLAIN.issuperset(text) else '"' + escaped(text.replace('"', '\\"')) + '"'


def _indented(trace: object) -> str:
    return "" if trace is None else "".join(f"\n    {escaped(line)}" for line in str(trace).splitlines())
