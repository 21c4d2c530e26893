"""Check the callers' arguments before anything is sent. No I/O here."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from synapse_sdk.exceptions import InvalidLookupError

_FILE_ID = re.compile(r"[0-9a-f]{64}")
_NEVER_IN_A_LOOKUP = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_lookup(value: str | int) -> str:
    """Return a lookup as text.

    Raises `InvalidLookupError` if it can't name a release, and `TypeError` if it is neither str nor int.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise TypeError(f"lookup must be a str or an int, not {type(value).__name__}.")
    text = str(value)
    if not text or text in (".", "..") or _NEVER_IN_A_LOOKUP.search(text):
        raise InvalidLookupError(f"{text!r} can't name a release: use its ID, such as 123, or 'code@version'.")
    return text


def check_job_id(value: Any) -> str:
    """Return a job's ID; raise `ValueError` if it can't be one."""
    return check_segment(value, "job_id", of="job")


def check_segment(value: Any, name: str, *, of: str) -> str:
    """Return a name as a path segment; raise `ValueError` for one that servers would normalize."""
    text = check_text(value, name)
    if text in (".", "..") or _NEVER_IN_A_LOOKUP.search(text):
        raise ValueError(f"{name} is {text!r}, which can't name a {of}.")
    return text


def check_reference(value: Any) -> tuple[str, str | None]:
    """Return the ID and name of a file reference; a bare ID is also valid."""
    inner = value.get("$file", value) if isinstance(value, Mapping) else {"id": value}
    file_id, name = (inner.get("id"), inner.get("name")) if isinstance(inner, Mapping) else (None, None)
    if not isinstance(file_id, str) or not _FILE_ID.fullmatch(file_id):
        raise ValueError(f"{value!r:.200} is not a reference to a file, such as {{'$file': {{'id': …, 'name': …}}}}.")
    return file_id, name if isinstance(name, str) else None


def check_text(value: Any, name: str) -> str:
    """Return a non-empty text."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}.")
    if not value:
        raise ValueError(f"{name} is empty.")
    return value


def check_count(value: Any, name: str = "max_concurrency") -> int:
    """Return a number of concurrent or listed items."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}.")
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, not {value}.")
    return value


def check_action(value: Any) -> str:
    """Return an action's name; a payload in its place gets a hint."""
    if isinstance(value, Mapping):
        raise TypeError("action must be a str, not a mapping: pass a whole payload as data=.")
    return check_text(value, "action")


def check_mapping(value: Any, name: str) -> dict[str, Any]:
    """Return a mapping as a dict."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, not {type(value).__name__}.")
    return dict(value)


def check_filters(params: Any) -> dict[str, Any]:
    """Return filters whose values fit into a query: text, numbers, booleans, None for absent, and lists of them."""
    filters = check_mapping(params, "params")
    for name, value in filters.items():
        items = value if isinstance(value, (list, tuple)) else [value]
        odd = next((item for item in items if item is not None and not isinstance(item, (str, int, float))), None)
        if not isinstance(name, str) or odd is not None:
            raise TypeError(f"params[{name!r}] must be text, a number or a list of them, not {type(odd).__name__}.")
    return filters


def check_moment(value: Any, name: str) -> datetime:
    """Return a time with its zone, from a `datetime` or RFC 3339."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(check_text(value, name))
    if moment.tzinfo is None:
        raise ValueError(f"{name} is {value!r}, without a time zone: datetime.now(timezone.utc) has one.")
    return moment


def check_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the optional fields of a run that have a value, each checked."""
    return {name: _CHECKS[name](value, name) for name, value in fields.items() if value is not None}


def _path(value: Any, name: str) -> str:
    return check_text(os.fspath(value) if isinstance(value, os.PathLike) else value, name)


def _texts(value: Any, name: str) -> list[str]:
    if isinstance(value, str):
        raise TypeError(f"{name} must be a list of str, not one str: [{value!r}].")
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name} must be a list of str, not {type(value).__name__}.")
    return [_item(item, f"{name}[{index}]") for index, item in enumerate(value)]


def _sources(value: Any, name: str) -> dict[str, str]:
    return {key: _item(source, f"{name}[{key!r}]") for key, source in check_mapping(value, name).items()}


def _whole_number(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}.")
    return value


def _item(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}.")
    return value


_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "params": check_mapping,
    "plugin_path": _path,
    "config": check_mapping,
    "modules": _sources,
    "requirements": _texts,
    "job_id": check_text,
    "language": check_text,
    "priority": _whole_number,
}
