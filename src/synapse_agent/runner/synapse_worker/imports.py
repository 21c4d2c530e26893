"""The imports of a run from outside the plugin, and their duration."""

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
    """A finder that records the modules outside of the plugin's folder that its code imports.

    What those import in turn is not recorded, but counts as part of them. So the list is short, and importing
    its modules imports all.
    """

    def __init__(self) -> None:
        self.modules: dict[str, float] = {}
        """The seconds of each."""
        self.seconds = 0.0
        """The duration of all imports, including the plugin's own modules."""
        self._own = ""
        self._is_busy = True
        """Whether such a module is being imported now, or the imports are not the plugin's."""

    def begin(self, folder: str) -> None:
        """Start to watch; `folder` is the plugin's."""
        self.own(folder)
        place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
        sys.meta_path.insert(place, self)

    def own(self, folder: str) -> None:
        """Treat the modules of a folder as the plugin's own."""
        self._own = folder + "/"

    def end(self) -> None:
        """Stop recording: further imports are not the plugin's."""
        self._is_busy = True

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module like `PathFinder`, and make its loader report the end of the import."""
        if self._is_busy or name.startswith(_WORKER):
            return None  # the next finder finds it
        spec = PathFinder.find_spec(name, path, target)
        loader: Any = None if spec is None else spec.loader
        if spec is None or spec.origin is None or spec.origin.startswith(self._own) or not hasattr(loader, "__dict__"):
            return spec
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # restored, for code that inspects it later
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
        """Call what imports the plugin's own modules, and record its imports and the action's until the `end`."""
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
