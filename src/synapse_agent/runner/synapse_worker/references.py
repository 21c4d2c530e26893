"""References to environment variables in those of a plugin: `${NAME}`; `$${NAME}` is the literal text."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def references(value: str) -> list[str]:
    """List the names that a value refers to."""
    return [name for dollar, name in _REFERENCE.findall(value) if not dollar] if "${" in value else []


def expanded(value: str, known: Mapping[str, str]) -> str:
    """Replace the references in a value, except those to unknown names."""

    def value_of(reference: re.Match[str]) -> str:
        dollar, name = reference.groups()
        return reference[0][1:] if dollar else known.get(name, reference[0])

    return _REFERENCE.sub(value_of, value) if "${" in value else value
