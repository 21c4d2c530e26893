"""The folders of each run: its home and, if it has a view, those for temporary files."""

from __future__ import annotations

import os

from ..synapse_worker.view import MountPoint, home_of, outputs_of

_MODE = 0o700


class Places:
    """Makes and removes the folders of a zygote's runs, in a folder of the zygote's."""

    def __init__(self, place: str, *, temporary: int) -> None:
        """`temporary` is the number of folders for temporary files that each run has."""
        self._place = place
        self._temporary = temporary
        self.mount_points: list[MountPoint] = []
        """What runs create in these folders to mount things at, the innermost first."""

    def make(self, number: int) -> list[str]:
        """Create a run's folders, its home first; if that fails, none remain."""
        folders = self._folders(number)
        try:
            if self._temporary:
                os.mkdir(f"{self._place}/{number}", _MODE)
            for path in (*folders, outputs_of(folders[0])):
                os.mkdir(path, _MODE)
        except OSError:
            self.remove(number)
            raise
        return folders

    def are_there(self, number: int) -> bool:
        """Return whether a run's folders still exist: a cleanup job of the machine may have removed them."""
        return all(os.path.isdir(path) for path in self._folders(number))

    def remove(self, number: int) -> bool:
        """Remove a run's folders if they are empty; return False if that takes more than a moment."""
        folders = self._folders(number)
        try:
            for index, path, is_folder in self.mount_points:
                (os.rmdir if is_folder else os.unlink)(f"{folders[1 + index]}/{path}")
        except FileNotFoundError:
            pass  # the run's process ended before it had mounted anything
        except OSError:
            return False
        return all(_removed(path) for path in (outputs_of(folders[0]), *folders, f"{self._place}/{number}"))

    def outputs(self, number: int) -> str:
        """Return the folder for files that outlive the run."""
        return outputs_of(self._folders(number)[0])

    def _folders(self, number: int) -> list[str]:
        if not self._temporary:
            return [home_of(self._place, number)]
        place = f"{self._place}/{number}"
        return [f"{place}/home", *(f"{place}/{index}" for index in range(self._temporary))]


def _removed(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
