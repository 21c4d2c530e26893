"""The parts of a result that become files of the job: paths below the outputs, figures, images, large `bytes`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

LARGEST_BYTES = 2**20
"""A larger `bytes` becomes a file."""
_WRITABLE_MODES = {"La": "LA", "RGBa": "RGBA"}
"""The mode to which an image is converted if no format supports its own; all others become RGB."""


class ResultFiles:
    """Turns parts of one result into files and references; the agent adds the IDs, which only it knows."""

    def __init__(self, folder: str) -> None:
        """`folder` is the run's output folder."""
        self._folder = folder
        self._known: dict[int, tuple[Any, dict[str, Any]]] = {}
        """By the object's `id()`; keeping the object prevents reuse of its ID."""

    def reference(self, value: Any) -> dict[str, Any] | None:
        """Return the reference for a value in the result; None if it does not become a file."""
        if id(value) in self._known:
            return self._known[id(value)][1]
        name = self._name(value)
        if name is None:
            return None
        reference = {"$file": {"id": "", "name": name}}
        self._known[id(value)] = value, reference
        return reference

    def _name(self, value: Any) -> str | None:
        if _is(value, "pathlib", "PurePath"):
            return self._below(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._write_bytes(value) if memoryview(value).nbytes > LARGEST_BYTES else None
        if _is(value, "matplotlib.figure", "Figure"):
            name = self._free("figure", "png")
            value.savefig(os.path.join(self._folder, name))
            return name
        if _is(value, "PIL.Image", "Image"):
            return self._write_image(value)
        return None

    def _below(self, path: Any) -> str | None:
        """Return a path's name below the outputs; None if it is elsewhere, or not a file."""
        real, folder = os.path.realpath(path), os.path.realpath(self._folder)
        return os.path.relpath(real, folder) if real.startswith(folder + "/") and os.path.isfile(real) else None

    def _write_bytes(self, value: Any) -> str:
        name = self._free("bytes", "bin")
        with open(os.path.join(self._folder, name), "wb") as file:
            file.write(value)
        return name

    def _write_image(self, image: Any) -> str:
        """Write an image as PNG, or as TIFF if Pillow, whose versions differ, can't write its mode as PNG."""
        for ending in ("png", "tiff"):
            name = self._free("image", ending)
            path = os.path.join(self._folder, name)
            try:
                image.save(path)
            except OSError:
                with suppress(OSError):  # what older versions leave of it
                    os.unlink(path)
            else:
                return name
        name = self._free("image", "png")
        image.convert(_WRITABLE_MODES.get(image.mode, "RGB")).save(os.path.join(self._folder, name))
        return name

    def _free(self, stem: str, ending: str) -> str:
        """Return an unused name."""
        number, name = 1, f"{stem}.{ending}"
        while os.path.lexists(os.path.join(self._folder, name)):
            number += 1
            name = f"{stem}-{number}.{ending}"
        return name


def _is(value: Any, module: str, name: str) -> bool:
    """Return whether a value is an instance of a module's class; if the module is not imported, it can't be."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)
