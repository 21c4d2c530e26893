"""The data folder of commands that run a plugin's folder: they share its environments, and what plugins store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from synapse_agent.settings import data_folder, default_data_dir

MOST_ENVIRONMENTS = 16
"""Fewer than a served agent keeps: these belong to the plugins that one person writes."""
_KEPT = frozenset(["environments", "locks", "bytecode", "imports", "storage", "caches", "uv-cache"])
"""What the next command reuses; jobs, logs and releases end with the command."""
_FOLDERS = 4
"""Commands that can keep their data at the same time: each needs a folder of its own."""


@contextmanager
def authoring_data() -> Iterator[Path]:
    """Yield a data folder that no other command uses; environments and storage stay in it for the next command.

    If all are in use or can't be written, it is a temporary folder.
    """
    with ExitStack() as stack:
        try:
            folder = _free_folder(stack)
        except (OSError, RuntimeError):  # `Path.home()` raises a RuntimeError if the user has no home
            folder = None
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="synapse-agent-")))
        yield folder


def _free_folder(stack: ExitStack) -> Path | None:
    """Return a folder that is locked until the stack closes; None if all are in use."""
    from synapse_agent.storage.locks import lock  # Linux only

    parent = data_folder(default_data_dir().with_name("synapse-agent-authoring"))
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(_FOLDERS):
        descriptor = os.open(parent / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            lock(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            continue
        stack.callback(os.close, descriptor)
        folder = parent / str(number)
        folder.mkdir(mode=0o700, exist_ok=True)
        _clear(folder)  # a killed command has left its jobs
        stack.callback(_clear, folder)
        return folder
    return None


def _clear(folder: Path) -> None:
    """Remove what the next command does not reuse."""
    from synapse_agent.storage.trees import remove_tree

    for entry in folder.iterdir():
        if entry.name in _KEPT:
            continue
        if entry.is_dir() and not entry.is_symlink():
            remove_tree(entry)
        else:
            entry.unlink()
