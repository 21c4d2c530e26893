"""What a zygote imports before it forks, so that its runs need not.

A run must not notice that its imports were done in another process. So after the imports this module examines whether
the zygote can be forked from: what a fork loses (threads) or shares (open files, connections, shared memory, child
processes) is a reason not to. Then the keeper starts a zygote without these imports, and each run imports by itself.
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
    """The imports of one zygote, and what each of its runs needs after its fork."""

    def __init__(self, *, folder: str, home: str, temporary: list[str] | None) -> None:
        """`temporary` are folders for temporary files that runs have for themselves; None if they share the machine's.

        `folder` is the plugin's code.
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
        """Import what is installed; the plugin's folder is not on `sys.path` yet, so no module of it can be meant."""
        for name in names:
            __import__(name)

    def import_own(self, modules: list[str], entrypoints: list[str]) -> None:
        """Import modules, and those of entrypoints, with the working directory that runs have."""
        os.chdir(self._folder)
        try:
            for name in modules:
                __import__(name)
            for entrypoint in entrypoints:
                load(entrypoint, folder=self._folder)
        finally:
            os.chdir("/")

    def finish(self) -> None:
        """Prepare for forks; raises `UnsafeToFork` if runs would lose or share something."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self._generators.examine()
        # Python 3.12 and later warn of forks while there are threads. Which of them matter is found out below.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=__package__.replace(".", r"\."))
        faults = self._surroundings.faults()
        if self._files is not None:
            faults += self._files.collect()
        if faults:
            raise UnsafeToFork("; ".join(faults))

    def continue_in_run(self) -> None:
        """Make a process that was just forked, and has its own folders, differ from others as it would by itself."""
        self._generators.reseed()
        if self._files is not None:
            self._files.write()
