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
    """Clone the mounts, read-only, of the files that a request names and the view hides, then of its inputs.

    `folder` contains the plugin's code, separate for each debug run. Return the indices of the former in the
    request, and the trees. If an input can't be mounted, the rest is missing as well, which the run's process reports.
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
            tree = clone_tree(real)
            trees.append(tree)
            make_read_only("", tree=tree)
            indices.append(wanted.index((path, real)))
            seen.append(path)
    with suppress(OSError):
        for _, _, source in head["inputs"]:
            trees.append(clone_tree(source))
            make_read_only("", tree=trees[-1])
    return indices, trees


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
