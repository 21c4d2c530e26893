"""A backend's record of a release: the URL and checksum of its archive."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synapse_agent.plugins.backend.addresses import BackendFault
from synapse_agent.problems import quoted

URL_FIELDS = ("archive_url", "download_url", "file", "url")
"""The first one present counts; `url` comes last, since it is the record's own address in some APIs."""
SHA256_FIELDS = ("sha256", "archive_sha256", "checksum", "digest")
_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Record:
    """The URL of an archive, and its hash."""

    url: str
    """Absolute, or relative to the record's own address."""
    sha256: str
    """In 64 lower-case hexadecimal digits."""

    @classmethod
    def read(cls, body: bytes, *, content_type: str) -> Record:
        """Parse a record; raise `BackendFault` for an invalid one."""
        fields = _object(body, content_type)
        return cls(url=_url(fields), sha256=_sha256(fields))


def _object(body: bytes, content_type: str) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        kind = quoted(content_type) if content_type else "an unknown type"
        raise BackendFault(f"is not JSON, but {len(body)} bytes of {kind}") from error
    if not isinstance(value, dict):
        raise BackendFault(f"is not a JSON object, but {_kind(value)}")
    return value


def _url(fields: Mapping[str, Any]) -> str:
    name, value = _first(fields, URL_FIELDS, what="URL of an archive")
    if not isinstance(value, str) or not value.strip():
        raise BackendFault(f"has {_said(value)} in {name!r} instead of a URL")
    return value.strip()


def _sha256(fields: Mapping[str, Any]) -> str:
    name, value = _first(fields, SHA256_FIELDS, what="sha256")
    match = _SHA256.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise BackendFault(f"has {_said(value)} in {name!r} instead of a sha256 of 64 hexadecimal digits")
    return match[1].lower()


def _first(fields: Mapping[str, Any], names: Sequence[str], *, what: str) -> tuple[str, object]:
    for name in names:
        if fields.get(name) is not None:
            return name, fields[name]
    raise BackendFault(f"has no {what}: none of {', '.join(names)} is present")


def _said(value: object) -> str:
    return quoted(value) if isinstance(value, str) else _kind(value)


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
