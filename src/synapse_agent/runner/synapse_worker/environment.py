"""The virtual environment that a zygote enters once it is confined: what Python's own start would have done before."""

from __future__ import annotations

import ctypes
import sys

_NO_SITE = 6
"""The index of `no_site` in `sys.flags`, from Python 3.8 on."""


def enter_environment(folder: str) -> None:
    """Be as if this Python had been started as that of the environment.

    This runs code of the environment's packages: lines of `.pth` files, `sitecustomize`.
    """
    sys.executable = f"{folder}/bin/python"
    sys.prefix = sys.exec_prefix = folder
    import site  # which runs nothing by itself as long as the flags say that it was left out

    _forget_that_site_was_left_out()
    site.main()


def _forget_that_site_was_left_out() -> None:
    """Keep Pythons that the action starts with the flags of this one, as `multiprocessing` does, from getting `-S`."""
    put = ctypes.pythonapi.PyStructSequence_SetItem
    put.argtypes, put.restype = [ctypes.py_object, ctypes.c_ssize_t, ctypes.py_object], None
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(0))  # which the flags keep
    put(sys.flags, _NO_SITE, 0)
