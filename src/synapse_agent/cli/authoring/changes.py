"""Watch a plugin's files for changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from watchfiles import Change, DefaultFilter, watch

from synapse_agent.cli.exit_codes import ExitCode
from synapse_agent.cli.failures import Failure
from synapse_agent.storage.trees import is_excluded

_SETTLED_MS = 50
"""Quiet time before a change counts, since editors write a file in several steps."""
_LONGEST_MS = 500
_LOOK_MS = 200


class FolderChanges:
    """Watches a plugin's folder while a `with` block runs, except for caches and the like."""

    def __init__(self, folder: Path, *, on_change: Callable[[], None]) -> None:
        """Create a watcher; it calls `on_change` at each change, in a thread of its own."""
        self._folder = folder
        self._on_change = on_change
        self._common = DefaultFilter()
        self._changed: set[str] = set()
        self._lock = threading.Condition()
        self._error: Exception | None = None
        self._end = threading.Event()
        self._is_watching = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="changes", daemon=True)

    def __enter__(self) -> Self:
        """Start watching; return once changes are noticed, or raise `Failure` if the folder can't be watched."""
        self._thread.start()
        self._is_watching.wait()
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop watching."""
        self._end.set()
        self._thread.join()

    @property
    def are_there(self) -> bool:
        """Whether a file has changed since the last `wait`."""
        return bool(self._changed)

    def wait(self) -> list[str]:
        """Wait for a change, and return the names of the changed files."""
        with self._lock:
            while not self._changed:
                self._check()
                self._lock.wait(1)  # short waits, so that Ctrl-C works
            changed = sorted(self._changed)
            self._changed.clear()
        return [name for name in changed if (self._folder / name).exists()] or changed

    def _check(self) -> None:
        if self._error is not None:
            what = f"{self._folder} can't be watched: {self._error}."
            raise Failure(f"{what} Set WATCHFILES_FORCE_POLLING=1 to poll its files instead.", ExitCode.FAILED)

    def _watch(self) -> None:
        try:
            self._note_changes()
        except (OSError, RuntimeError) as error:  # watchfiles raises these, such as for too few inotify watches
            self._error = error
            self._is_watching.set()

    def _note_changes(self) -> None:
        for changes in watch(
            self._folder,
            watch_filter=self._counts,
            debounce=_LONGEST_MS,
            step=_SETTLED_MS,
            stop_event=self._end,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
        ):
            self._is_watching.set()  # reached without changes too, by the timeout
            if changes:
                with self._lock:  # `wait` returns after `on_change`, which thus can't affect the next run
                    self._changed |= {str(Path(path).relative_to(self._folder)) for _, path in changes}
                    self._on_change()
                    self._lock.notify()

    def _counts(self, change: Change, path: str) -> bool:
        """Return whether a changed file belongs to the plugin, judged by its path below the plugin's folder."""
        place = Path(path).relative_to(self._folder)
        return not any(map(is_excluded, place.parts)) and self._common(change, str(place))
