"""The folders of each run: its home and, if it has a view, those for temporary files.

Making or removing one can take a millisecond or more, longer than all else that a keeper does for a run. So this module
makes some ahead while the keeper has nothing else to do, and removes empty ones once no run has come for a while.
"""

from __future__ import annotations

import errno
import os
from _socket import socket
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress

from ..synapse_worker.view import MountPoint, home_of, outputs_of

_MODE = 0o700
_MOST_LEFT = 16
_MOST_EMPTY = 5000


class Places:
    """Makes and removes the folders of a zygote's runs, in a folder of the zygote's."""

    def __init__(self, place: str, on_used: Callable[[int], None], *, temporary: int, ahead: int) -> None:
        """`temporary` is the number of folders for temporary files of each run, `ahead` that of runs to prepare for.

        `on_used` is called with the number of a run whose folders are not empty: removing these may take long.
        """
        self._place = place
        self._on_used = on_used
        self._temporary = temporary
        self._ahead = ahead
        self._numbers = 0
        self._made: deque[int] = deque()
        self._making: Generator[None, None, int] | None = None
        self._has_failed = False
        self._made_at: dict[int, list[int]] = {}
        self._left: deque[tuple[int, socket | None]] = deque()
        self._empty: deque[tuple[int, str]] = deque()
        self.mount_points: list[MountPoint] = []
        """What runs create in these folders as mount points, the innermost first."""

    def take(self) -> tuple[int, list[str]]:
        """Return a new number and its folders, the home first; if that fails, none remain."""
        while self._made:
            number = self._made.popleft()
            if self.are_there(number):
                return number, self._folders(number)
            self.leave(number)
        number = self._next_number()
        for _ in self._make(number):
            pass
        self._has_failed = False
        return number, self._folders(number)

    def are_there(self, number: int) -> bool:
        """Return whether a run's folders still exist: a cleanup job of the machine may have removed them."""
        return all(os.path.isdir(path) for path in self._folders(number))

    def outputs(self, number: int) -> str:
        """Return the folder for files that outlive the run."""
        return outputs_of(self._folders(number)[0])

    def leave(self, number: int, mounts: socket | None = None) -> None:
        """Take back the folders of a run that is over; `mounts` is the socket whose end ends its mounts."""
        self._left.append((number, mounts))
        if len(self._left) > _MOST_LEFT:
            self._look_at_left()

    def work(self) -> bool:
        """Do one step of the work that should be done soon; return False if nothing is left."""
        if self._left:
            self._look_at_left()
        elif self._making is not None or (len(self._made) < self._ahead and not self._has_failed):
            self._make_ahead()
        else:
            return False
        return True

    @property
    def have_empty(self) -> bool:
        """Whether there are empty folders to remove."""
        return bool(self._empty)

    def remove_one(self) -> None:
        """Remove an empty folder."""
        number, path = self._empty.popleft()
        self._remove(number, [path])

    def _look_at_left(self) -> None:
        number, mounts = self._left.popleft()
        if mounts is not None:
            mounts.close()
        made_at = self._made_at.pop(number, None)
        home, *temporary = self._folders(number)
        paths = [outputs_of(home), home, *temporary]
        if made_at is None or made_at != self._changed_at(number):
            self._remove(number, paths)
            return
        self._empty.extend((number, path) for path in paths)
        while len(self._empty) > _MOST_EMPTY:
            self.remove_one()

    def _remove(self, number: int, paths: Iterable[str]) -> None:
        folders = self._folders(number)
        try:
            with suppress(FileNotFoundError):  # the run's process ended before it had mounted anything
                for index, path, is_folder in self.mount_points:
                    _remove_below(folders[1 + index], path, os.rmdir if is_folder else os.unlink)
            for path in paths:
                with suppress(FileNotFoundError):
                    os.rmdir(path)
        except OSError:
            self._empty = deque(each for each in self._empty if each[0] != number)
            self._on_used(number)

    def _changed_at(self, number: int) -> list[int]:
        """Return when each of a run's folders was last changed: if that is when it was made, nothing was added."""
        home, *temporary = self._folders(number)
        try:
            return [os.lstat(path).st_mtime_ns for path in (home, outputs_of(home), *temporary)]
        except OSError:
            return []

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _make_ahead(self) -> None:
        """Make one more folder; if that fails, `take` tries again and raises the error."""
        if self._making is None:
            self._making = self._make(self._next_number())
        try:
            next(self._making)
        except StopIteration as over:
            self._made.append(over.value)
            self._making = None
        except OSError:
            self._has_failed = True
            self._making = None

    def _make(self, number: int) -> Generator[None, None, int]:
        """Make a run's folders, one at each step, and return their number."""
        folders = self._folders(number)
        try:
            for path in (*folders, outputs_of(folders[0])):
                os.mkdir(path, _MODE)
                yield
        except OSError:
            self.leave(number)
            raise
        self._made_at[number] = self._changed_at(number)
        return number

    def _folders(self, number: int) -> list[str]:
        home = home_of(self._place, number)
        return [home, *(f"{home}.{index}" for index in range(self._temporary))]


def _remove_below(folder: str, path: str, remove: Callable[[str], None]) -> None:
    """Remove a mount point; raise `NotADirectoryError` if the run has put a link in the place of a folder above it."""
    parts = path.split("/")
    for end in range(1, len(parts)):
        above = "/".join([folder, *parts[:end]])
        if os.path.islink(above):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), above)
    remove(f"{folder}/{path}")
