"""The temporary files that a caller names in the params of a run, shown to that run alone."""

from __future__ import annotations

import json
import os
from contextlib import suppress

from ..synapse_worker import protocol as worker
from ..synapse_worker.namespaces import clone_tree, make_read_only
from ..synapse_worker.view import View, is_within


def copy_mounts(view: View, request: int, *, folder: str) -> tuple[list[int], list[int]]:
    """Copy the mounts, read-only, of the files that a request names and that the view hides.

    `folder` is that of the plugin's code, which each debug run has for itself. Return the indices of what was copied in
    the request, and the trees.
    """
    indices: list[int] = []
    trees: list[int] = []
    seen = [step.path for step in view.kept]
    wanted = [tuple(pair) for pair in _head(request)["shown"][: worker.MAX_SHOWN]]
    for path, real in sorted(wanted):
        is_wanted = view.is_hidden(path) and not any(is_within(path, other) for other in seen)
        if not is_wanted and path != folder:
            continue
        with suppress(OSError):  # removed since the agent looked
            tree = clone_tree(real)
            trees.append(tree)
            make_read_only("", tree=tree)
            indices.append(wanted.index((path, real)))
            seen.append(path)
    return indices, trees


def _head(request: int) -> dict[str, list[tuple[str, str]]]:
    """Read the first line of a request, which the agent wrote, without taking it from the run."""
    text = b""
    while b"\n" not in text:
        part = os.pread(request, 65_536, len(text))
        if not part:
            break
        text += part
    head: dict[str, list[tuple[str, str]]] = json.loads(text.partition(b"\n")[0])
    return head
