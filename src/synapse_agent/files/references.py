"""References to files, as params hold them: `{"$file": {"id": …, "name": …}}`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from synapse_agent.problems import InvalidRequest, invalid
from synapse_agent.util.json_text import json_bytes

KEY = "$file"
REFERENCE = b'"$file"'
"""Every JSON text with a reference contains this."""
MOST = 140
"""Limit on the files of a run: their descriptors are sent in one message."""
HAS_INCOMPLETE = b'{"$file":{"id":"",'
_INCOMPLETE = re.compile(rb'\{"\$file":\{"id":"","name":("(?:[^"\\]|\\.)*")\}\}')
"""A reference to an output file, as a run writes it: without the ID. Inside a string, its quotes have backslashes."""
_ID = re.compile(r"[0-9a-f]{64}")
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class FileReference:
    """A file that the params of a run refer to."""

    id: str
    """SHA-256 of its content, in hexadecimal digits."""
    name: str
    """The file's name in the run, without folders."""


def find_references(params: Mapping[str, Any]) -> tuple[FileReference, ...]:
    """Return the references in params, each once; raise `InvalidRequest` for an invalid one, and for too many."""
    found: dict[FileReference, None] = {}
    for value, place in _references(params):
        found[_reference(value, place)] = None
    if len(found) > MOST:
        message = f"Input should hold at most {MOST} files; pack more into an archive"
        raise invalid("too_many_files", message, at=["body", "params"], value=len(found))
    return tuple(found)


def completed(result: bytes, identify: Callable[[str], Mapping[str, Any]]) -> bytes:
    """Return a result with complete references to output files; `identify` returns the fields for a file's name."""

    def complete(match: re.Match[bytes]) -> bytes:
        return json_bytes({KEY: identify(json.loads(match[1]))})

    return _INCOMPLETE.sub(complete, result)


def _references(params: Mapping[str, Any]) -> Iterator[tuple[Any, tuple[str | int, ...]]]:
    waiting: list[tuple[Any, tuple[str | int, ...]]] = [(params, ("body", "params"))]
    while waiting:
        value, place = waiting.pop()
        if isinstance(value, dict):
            if value.keys() == {KEY}:
                yield value[KEY], place
            else:
                waiting += [(each, (*place, name)) for name, each in value.items() if isinstance(each, dict | list)]
        elif isinstance(value, list):
            waiting += [(each, (*place, at)) for at, each in enumerate(value) if isinstance(each, dict | list)]


def _reference(value: Any, place: tuple[str | int, ...]) -> FileReference:
    file_id, name = (value.get("id"), value.get("name")) if isinstance(value, dict) else (None, None)
    if not isinstance(file_id, str) or not _ID.fullmatch(file_id):
        raise _no_reference(place, "its id must be the SHA-256 of the content, in lowercase hexadecimal digits", value)
    last = name.rpartition("/")[2] if isinstance(name, str) else ""
    if last in ("", ".", "..") or "\0" in last or not _fits(last):
        raise _no_reference(place, "its name must be a file name of at most 255 bytes", value)
    return FileReference(file_id, last)


def _fits(name: str) -> bool:
    try:
        return len(name.encode()) <= _LONGEST_NAME
    except UnicodeEncodeError:
        return False


def _no_reference(place: tuple[str | int, ...], why: str, value: Any) -> InvalidRequest:
    return invalid("file_reference", f"Input should be a reference to a file: {why}", at=[*place, KEY], value=value)
