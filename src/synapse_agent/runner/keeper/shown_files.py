"""The files that a caller names in the params of a run, visible to that run only."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

from ..synapse_worker import protocol as worker
from ..synapse_worker.namespaces import clone_tree, make_read_only
from ..synapse_worker.view import View, is_within


def copy_mounts(view: View, request: int, *, folder: str) -> tuple[list[int], list[int]]:
    """Clone, read-only, the mounts of those files of a request that the view hides, then of its inputs.

    `folder` contains the plugin's code, separate for each debug run. Return the indices of the hidden files in the
    request, and all trees. If an input can't be mounted, it and the rest are missing, which the run's process reports.
    """
    head = _head(request)
    indices: list[int] = []
    trees: list[int] = []
    seen = [step.path for step in view.kept]
    wanted = [tuple(pair) for pair in head["shown"][: worker.MAX_SHOWN]]
    for path, real in sorted(wanted):
        is_wanted = view.is_hidden(path) and not any(is_within(path, other) for other in seen)
        if not is_wanted and path != folder:
            continue
        with suppress(OSError):  # removed since the agent checked
            trees.append(_read_only_copy(real))
            indices.append(wanted.index((path, real)))
            seen.append(path)
    with suppress(OSError):
        for _, _, source in head["inputs"]:
            trees.append(_read_only_copy(source))
    return indices, trees


def _read_only_copy(path: str) -> int:
    """Clone the mounts at a path, read-only; on failure no tree is left that a run could write to."""
    tree = clone_tree(path)
    try:
        make_read_only("", tree=tree)
    except OSError:
        os.close(tree)
        raise
    return tree


def _head(request: int) -> dict[str, Any]:
    """Read the first line of a request, which the agent wrote, without consuming it."""
    text = b""
    while b"\n" not in text:
        part = os.pread(request, 65_536, len(text))
        if not part:
            break
        text += part
    head: dict[str, Any] = json.loads(text.partition(b"\n")[0])
    return head
