"""One difference between two OpenAPI documents, and the part of the version that must be raised for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

Document = Mapping[str, Any]


class Level(IntEnum):
    """The part of a version that must be raised for a change."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, and its place."""

    level: Level
    where: str
    what: str

    def __str__(self) -> str:
        kind = {Level.MAJOR: "breaks clients", Level.MINOR: "addition"}.get(self.level, "wording")
        return f"{kind}: {self.where}: {self.what}"


def resolved(document: Document, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry of a document, or the target of its reference."""
    while "$ref" in entry:
        found: Any = document
        for part in entry["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        entry = found
    return entry
