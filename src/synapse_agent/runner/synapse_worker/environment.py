"""The virtual environment, which a zygote enters only after it is sandboxed, instead of at Python's start."""

from __future__ import annotations

import ctypes
import sys

_NO_SITE = 6
"""The index of `no_site` in `sys.flags`, from Python 3.8 on."""


def enter_environment(folder: str) -> None:
    """Turn this interpreter into that of the environment, as if started from it.

    This runs code of the environment's packages: lines of `.pth` files, `sitecustomize`.
    """
    sys.executable = f"{folder}/bin/python"
    sys.prefix = sys.exec_prefix = folder
    import site  # its import runs nothing while `sys.flags.no_site` is set

    _forget_that_site_was_left_out()
    site.main()


def _forget_that_site_was_left_out() -> None:
    """Clear `no_site`: `multiprocessing` passes on the flags of this Python, and its children need `site`."""
    put = ctypes.pythonapi.PyStructSequence_SetItem
    put.argtypes, put.restype = [ctypes.py_object, ctypes.c_ssize_t, ctypes.py_object], None
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(0))  # the flags take over this reference
    put(sys.flags, _NO_SITE, 0)
