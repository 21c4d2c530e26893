"""What a run imports that is not the plugin's own, and how long that takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from . import protocol

_MOST = 200
_WORKER = __name__.partition(".")[0]
"""The package of these modules."""


class ImportWatch:
    """A finder that notes the modules outside of the plugin's folder that its code asks for.

    What those import in turn is not noted, and counts as part of them. So the list is short, and importing what is on
    it imports all of it.
    """

    def __init__(self) -> None:
        self.modules: dict[str, float] = {}
        """The seconds that each took."""
        self.seconds = 0.0
        """All that importing has taken, the plugin's own modules included."""
        self._own = ""
        self._is_busy = True
        """Whether such a module is being imported now, or what is imported is not the plugin's wish."""

    def begin(self, folder: str) -> None:
        """Watch from now on; `folder` is the plugin's."""
        self.own(folder)
        place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
        sys.meta_path.insert(place, self)

    def own(self, folder: str) -> None:
        """Take what is in a folder for the plugin's own."""
        self._own = folder + "/"

    def end(self) -> None:
        """Note nothing more: what comes is not asked for by the plugin."""
        self._is_busy = True

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as `PathFinder` does, and have its loader report when it is done."""
        if self._is_busy or name.startswith(_WORKER):
            return None  # asked next, the other finder finds it
        spec = PathFinder.find_spec(name, path, target)
        loader: Any = None if spec is None else spec.loader
        if spec is None or spec.origin is None or spec.origin.startswith(self._own) or not hasattr(loader, "__dict__"):
            return spec
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # as it was, for all that looks at it later
            if self._is_busy:
                load(module)
                return
            self._is_busy, begun = True, time.perf_counter()
            try:
                load(module)
            finally:
                self._is_busy = False
                self._note(name, time.perf_counter() - begun)

        loader.exec_module = exec_module
        return spec

    def timed(self, load: Callable[[], Any]) -> Any:
        """Call what imports the plugin's own modules, and note what it and the action ask for, until the `end`."""
        self._is_busy = False
        before, begun = self.seconds, time.perf_counter()
        try:
            return load()
        finally:
            self.seconds = before + time.perf_counter() - begun

    def report(self) -> bytes:
        """Return the payload of a report."""
        lines = "\n".join([f"{name} {seconds:.6f}" for name, seconds in self.modules.items()])
        return protocol.IMPORT_TIMES.pack(self.seconds, sum(self.modules.values())) + lines.encode()

    def _note(self, name: str, seconds: float) -> None:
        self.seconds += seconds
        if len(self.modules) < _MOST:
            self.modules[name] = seconds


WATCH = ImportWatch()
