"""The machine's temporary files that a call's params name; runs see no others."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from synapse_agent.runner.synapse_worker.view import TEMPORARY, is_within

_MOST = 100
_TEXT = re.compile(rb'"(?:%s)/(?:[^"\\]|\\.)+"' % b"|".join(map(os.fsencode, TEMPORARY)))


def temporary_files(params: bytes, *, hidden: Path) -> list[tuple[str, str]]:
    """Return the paths among the strings in params, at any depth, that exist below a temporary folder, at most 100.

    Each is paired with its path with links resolved. Paths in `hidden` are omitted.
    """
    found: dict[str, str] = {}
    for text in _TEXT.findall(params):
        path = os.path.normpath(json.loads(text))
        if path not in found and len(found) < _MOST and _exists(path):
            real = os.path.realpath(path)
            if not is_within(real, os.path.realpath(hidden)):
                found[path] = real
    return list(found.items())


def _exists(path: str) -> bool:
    try:
        return any(is_within(path, folder) and path != folder for folder in TEMPORARY) and Path(path).exists()
    except ValueError:  # contains a NUL, or half a surrogate pair
        return False
