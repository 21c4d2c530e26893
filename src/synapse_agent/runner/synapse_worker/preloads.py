"""A zygote's imports before it forks, which its runs share.

A run must not notice that another process did its imports. So after the imports, this module checks whether
the zygote can be forked from: it can't if a fork would lose something (threads) or share it (open files, connections,
shared memory, child processes). Then the keeper starts a zygote without these imports, and each run imports by itself.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from types import ModuleType

from .entrypoints import load
from .generators import Generators
from .surroundings import Surroundings
from .written_files import WrittenFiles


class UnsafeToFork(Exception):
    """The imports leave something that runs would lose or share; the message names it."""


class Preload:
    """A zygote's imports, and the steps that each of its runs needs after the fork."""

    def __init__(self, *, folder: str, home: str, temporary: list[str] | None) -> None:
        """`temporary` are folders for temporary files that each run has for itself; None if runs share the machine's.

        `folder` contains the plugin's code.
        """
        os.environ["HOME"] = os.environ["TMPDIR"] = home
        os.makedirs(home, exist_ok=True)
        self._folder = folder
        self._surroundings = Surroundings()
        self._generators = Generators()
        self._files = None if temporary is None else WrittenFiles([home, *temporary])
        sys.modules["__main__"] = ModuleType("__main__")
        sys.argv = [""]
        gc.enable()

    def import_packages(self, names: list[str]) -> None:
        """Import installed modules; the plugin's folder is not on `sys.path` yet, so it can't shadow them."""
        for name in names:
            __import__(name)
        _leave_finalizers_out()

    def import_own(self, modules: list[str], entrypoints: list[str]) -> None:
        """Import modules, and those of entrypoints, in the working directory of runs."""
        os.chdir(self._folder)
        try:
            for name in modules:
                __import__(name)
            for entrypoint in entrypoints:
                load(entrypoint, folder=self._folder)
        finally:
            os.chdir("/")

    def finish(self) -> None:
        """Prepare for forks; raise `UnsafeToFork` if runs would lose or share something."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self._generators.examine()
        # Python 3.12 and later warn about forks with threads. The check below finds the threads that matter.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=__package__.replace(".", r"\."))
        faults = self._surroundings.faults()
        if self._files is not None:
            faults += self._files.collect()
        if faults:
            raise UnsafeToFork("; ".join(faults))

    def continue_in_run(self) -> None:
        """Make a forked process, with its own folders, differ from others as a fresh one would."""
        self._generators.reseed()
        if self._files is not None:
            self._files.write()


def _leave_finalizers_out() -> None:
    """Prevent runs from finalizing, at their end, what packages have made before the fork.

    These objects end with the process anyway, and finalizing PyTorch's takes a run 20 ms: that touches thousands of
    pages. What a run makes is finalized, and functions registered with `atexit` are called.
    """
    weakref = sys.modules.get("weakref")
    for finalizer in () if weakref is None else list(weakref.finalize._registry):
        finalizer.atexit = False
