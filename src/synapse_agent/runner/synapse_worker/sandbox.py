"""Restrict what an action may write to, if the kernel can: its own folder, a few devices, and allowed paths."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from . import landlock
from .capabilities import give_up_capabilities
from .inputs import Input, put_in
from .view import View

_ALWAYS = ("null", "zero", "full", "shm")
"""Devices for every run; `shm` is POSIX shared memory, which `multiprocessing` and PyTorch need."""
_ACCELERATORS = ("nvidia", "nvhost", "nvmap", "dri", "kfd", "dxg", "accel", "infiniband")
"""Prefixes of the device names of GPUs and other accelerators."""
_HINT = (
    "In the agent's sandbox, an action can write only to its own folder (TMPDIR and HOME), its plugin's storage and"
    " cache, and /tmp. The agent's operator can allow more with --allow-write, or start the agent with --no-sandbox."
)


class SandboxRules(NamedTuple):
    """The sandbox settings that all runs of a zygote share."""

    abi: int
    paths: tuple[str, ...]
    """Paths that every run may write to, if they exist."""
    in_proc: bool
    """Whether existing files of `/proc` may be written to."""

    @classmethod
    def of(cls, writable: Iterable[str] | None, *, abi: int, devices: str = "/dev") -> SandboxRules | None:
        """Add this machine's devices to the writable paths; return None without a sandbox, such as for `abi` 0."""
        if writable is None or abi == 0:
            return None
        accelerators = [name for name in os.listdir(devices) if name.startswith(_ACCELERATORS)]
        paths = (*writable, *(f"{devices}/{name}" for name in (*_ALWAYS, *accelerators)))
        # CUDA names its threads in /proc/PID/task/TID/comm and does not start if it can't (error 304). Only what
        # belongs to the agent's user can be opened there; for root, though, that includes the kernel's own settings.
        return cls(abi, paths, in_proc=any(name.startswith("nvidia") for name in accelerators))


class Sandbox:
    """A run's sandbox and folders: prepared ahead, while no run waits, and entered permanently later."""

    def __init__(
        self, rules: SandboxRules | None, view: View | None, home: str, trees: list[int], error: OSError | None
    ) -> None:
        """Prepare it; without rules, only the home. `enter` raises the errors.

        `home` is the path of the run's own folder in its view, which consists of `trees`.
        """
        self.home = home
        self._view = view
        self._ruleset: landlock.Ruleset | None = None
        self._error = error
        self._is_entered = False
        if error is not None:
            return
        try:
            if view is not None:
                view.enter_runs_own(trees)
            if rules is not None:
                self._ruleset = prepared(rules)
                self._ruleset.allow(home)
        except OSError as error:
            self._error = error

    def enter(
        self,
        *,
        writable: Iterable[str],
        shown: Iterable[tuple[str, int]] = (),
        inputs: Sequence[Input] = (),
        trees: Sequence[int] = (),
    ) -> dict[tuple[str, str], str]:
        """Drop the right to write except to the prepared paths and these folders; raise `OSError` if that fails.

        `shown` lists the machine's temporary files that the caller has named: a path and a tree to mount there.
        The inputs are placed in the home, from these trees if there is a view; their paths are returned.
        """
        if self._error is not None:
            raise self._error
        if self._view is not None:
            for path, tree in shown:
                self._view.show(path, tree)
        paths = put_in(self.home, inputs, None if self._view is None else trees)
        if self._ruleset is None:
            return paths
        for path in writable:
            self._ruleset.allow(path)
        if self._view is not None:
            give_up_capabilities()
        self._ruleset.enforce()
        self._is_entered = True
        return paths

    @property
    def has_mounts(self) -> bool:
        """Whether this process has a mount namespace of its own."""
        return self._view is not None

    def hint(self, error: BaseException) -> str:
        """Return advice for an error that the sandbox, not a file's mode, has caused; otherwise an empty text."""
        if not self._is_entered or not isinstance(error, OSError):
            return ""
        names = [name for name in (error.filename, error.filename2) if isinstance(name, (str, bytes, os.PathLike))]
        if self._view is not None and error.errno == errno.EROFS:
            return _HINT if names else ""
        is_refused = error.errno == errno.EACCES and names and all(map(_mode_allows_writing, names))
        return _HINT if is_refused else ""


def prepared(rules: SandboxRules) -> landlock.Ruleset:
    """Open the paths that runs may write to; a ruleset needs only a run's own folder in addition."""
    landlock.give_up_new_privileges()
    ruleset = landlock.Ruleset(rules.abi)
    for path in rules.paths:
        with suppress(FileNotFoundError):
            ruleset.allow(path)
    if rules.in_proc:
        ruleset.allow("/proc", landlock.WRITE_FILE)
    return ruleset


def _mode_allows_writing(path: str | bytes | os.PathLike[str]) -> bool:
    """Check what Landlock does not decide: whether the modes of a file and its folder allow this user to write."""
    folder = os.path.dirname(os.path.abspath(path))
    return os.access(folder, os.W_OK | os.X_OK) and (os.access(path, os.W_OK) or not os.path.lexists(path))
