"""The zygote: a small, single-threaded process that forks a fresh one for each run of a release.

It forks when its keeper asks for it, sends the keeper a socket to the new process, and reaps. The code of an
environment runs in it, so only runs of its own release depend on its reports.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
from _signal import SIG_BLOCK, pthread_sigmask  # type: ignore[import-not-found] # as in `kernel`
from _socket import AF_UNIX, SOCK_STREAM, socket, socketpair
from collections.abc import Iterable
from contextlib import suppress
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TextIO

from . import landlock, protocol, run, seccomp
from .bytecode import tell_instead_of_writing
from .capabilities import SYS_ADMIN, bound_programs, keep_capabilities
from .environment import enter_environment
from .imports import WATCH
from .kernel import (
    STOPS,
    die_with_parent,
    handle_stops_as_usual,
    offer_to_the_oom_killer,
    pidfd_open,
    receive,
    send,
    stay_as_traceable_as_others,
)
from .sandbox import Sandbox, SandboxRules, prepared
from .view import TEMPORARY, View, home_of, import_home

if TYPE_CHECKING:
    from .preloads import Preload

_REHEARSALS = 20
_PYTHON = (sys.base_prefix, sys.base_exec_prefix, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The folders from which a zygote imports later."""


class Spec(NamedTuple):
    """The settings of a keeper and its zygote, as the agent sends them."""

    folder: str
    """The plugin's code."""
    environment: str | None
    """The folder of the virtual environment; None without one."""
    bytecode: str
    place: str
    """The zygote's own folder, which contains those of its runs."""
    cgroup: int | None
    """The file by which the keeper joins a control group; None without one."""
    namespaces: bool
    """Whether to create namespaces."""
    processes: int
    """Limit of the processes and threads of the PID namespace, if the kernel can count them."""
    covered: list[str] | None
    """Folders in which runs see only what they need; None without a private view."""
    writable: list[str] | None
    """Paths that runs may write to besides their own folders; None without a sandbox."""
    readable: list[str]
    """Other paths that runs need to see."""
    env: dict[str, str]
    """Environment variables of all its runs."""
    packages: list[str]
    """Installed modules to import before it forks."""
    modules: list[str]
    """Modules to import as the plugin's own code does."""
    entrypoints: list[str]
    """Entrypoints; their modules are imported."""

    @property
    def preloads(self) -> bool:
        """Whether anything is imported before it forks."""
        return bool(self.packages or self.modules or self.entrypoints)

    def without_preload(self) -> Spec:
        """Return the same for a zygote that imports nothing."""
        return self._replace(packages=[], modules=[], entrypoints=[])

    def view(self) -> View | None:
        """Plan the view of runs."""
        if self.covered is None or self.writable is None:
            return None
        readable = [
            *self.readable,
            self.folder,
            self.bytecode,
            *_PYTHON,
            *([] if self.environment is None else [self.environment]),
        ]
        return View(self.place, covered=self.covered, readable=readable, writable=self.writable)


def serve(control: socket, spec: Spec, view: View | None, *, keeper: int) -> NoReturn:
    """Act as a zygote until the keeper closes its end of the socket.

    Code of the environment that Python runs at its start, such as a line of a `.pth` file, runs here, sandboxed.
    """
    die_with_parent(keeper)
    stay_as_traceable_as_others()
    offer_to_the_oom_killer()
    handle_stops_as_usual()
    pthread_sigmask(SIG_BLOCK, STOPS)  # a process may receive these right after its fork, before it handles them
    sys.stdout, sys.stderr = (_unbreakable(descriptor) for descriptor in (1, 2))
    sys.pycache_prefix = spec.bytecode
    tell_instead_of_writing(lambda _: None)
    os.environ.update(spec.env)
    error: OSError | None = None
    rules: SandboxRules | None = None
    try:
        rules = _confined(spec, view)
        if spec.environment is not None:
            enter_environment(spec.environment)
    except OSError as fault:
        error = fault
    preload = _preloaded(spec, view) if spec.preloads and error is None else None
    if spec.folder not in sys.path:
        sys.path.insert(0, spec.folder)
    PathFinder.find_spec("synapse_worker_warms_the_finders")  # lists the folders on sys.path; imports nothing
    if spec.environment is not None:
        WATCH.begin(spec.folder)
    gc.disable()
    if preload is not None:
        gc.collect()
    gc.freeze()
    _Zygote(control, spec, view, rules, error, preload).serve()
    os._exit(0)


def _preloaded(spec: Spec, view: View | None) -> Preload:
    """Import before any fork; if that fails, print why and end this process."""
    from .preloads import Preload, UnsafeToFork  # rarely needed

    nowhere = os.dup(1)
    os.dup2(2, 1)  # the keeper keeps the output for the log of the first run
    home = import_home(spec.place, has_view=view is not None)
    preload = Preload(folder=spec.folder, home=home, temporary=None if view is None else view.own_folders())
    try:
        preload.import_packages(spec.packages)
        sys.path.insert(0, spec.folder)
        preload.import_own(spec.modules, spec.entrypoints)
        preload.finish()
    except BaseException as error:
        reason = str(error)
        if not isinstance(error, UnsafeToFork):
            sys.excepthook(*sys.exc_info())
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        print(
            f"synapse: imports are not shared: each run of this release imports by itself ({reason})", file=sys.stderr
        )
        os._exit(1)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return preload


def _confined(spec: Spec, view: View | None) -> SandboxRules | None:
    """Sandbox this process before any foreign code runs in it, and return the rules for its runs."""
    if spec.writable is None:
        return None
    os.environ["HOME"] = spec.place
    if view is not None:
        view.enter()
    bound_programs()
    keep_capabilities([] if view is None else [SYS_ADMIN])
    landlock.give_up_new_privileges()
    seccomp.refuse_what_no_action_needs(has_view=view is not None)
    own = [import_home(spec.place, has_view=False)] if view is None else TEMPORARY
    rules = SandboxRules.of([*spec.writable, *own], abi=landlock.abi())
    if rules is not None and view is None and spec.environment is not None:
        ruleset = prepared(rules)
        ruleset.allow(spec.place)
        ruleset.enforce()  # with a view, it would prevent runs from mounting theirs
    return rules


def _unbreakable(descriptor: int) -> TextIO:
    """Return a stream that accepts any text and writes whole lines."""
    return open(descriptor, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


class _Zygote:
    def __init__(
        self,
        control: socket,
        spec: Spec,
        view: View | None,
        rules: SandboxRules | None,
        error: OSError | None,
        preload: Preload | None,
    ) -> None:
        """With `error`, the reason why sandboxing this process failed, all its runs fail."""
        self._control = control
        self._spec = spec
        self._view = view
        self._rules = rules
        self._error = error
        self._preload = preload
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)
        self._children: dict[int, tuple[int, int]] = {}
        """Number and process ID of each forked process that was not reaped yet, by its descriptor."""
        self._is_warm = False
        self._connected = True

    def serve(self) -> None:
        self._tell(protocol.READY)
        while self._connected:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._control.fileno():
                    self._obey()
                else:
                    self._reap(descriptor)

    def _obey(self) -> None:
        try:
            message, trees = receive(self._control, protocol.FORK.size)
        except OSError:
            message, trees = b"", []
        if not message:
            self._connected = False
            return
        number, in_time = protocol.FORK.unpack(message)
        if in_time and not self._is_warm:
            self._warm_up()
        try:
            self._fork(number, trees, in_time=in_time)
        except OSError as error:
            self._tell(protocol.NOT_FORKED, number, error.errno or 0)
        finally:
            _close(trees)

    def _warm_up(self) -> None:
        """Rehearse what runs do; not earlier, because the first run may be waiting for this process."""
        self._is_warm = True
        for _ in range(_REHEARSALS):
            run.warm_up()
            if self._rules is not None:
                prepared(self._rules).close()
        gc.collect()
        gc.freeze()

    def _fork(self, number: int, trees: list[int], *, in_time: bool) -> None:
        zygote = os.getpid()
        ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
        try:
            pid = os.fork()
            if pid == 0:
                _close([self._control.detach(), ours.detach(), *self._children])
                run.become_run(
                    theirs,
                    zygote=None if self._spec.namespaces else zygote,
                    folder=self._spec.folder,
                    in_time=in_time,
                    prepare=lambda: self._prepared(number, trees),
                )
            self._watch(number, pid)
            self._tell(protocol.WAITING, number, pid, [ours.fileno()])
        finally:
            ours.close()
            theirs.close()

    def _prepared(self, number: int, trees: list[int]) -> Sandbox:
        sandbox = Sandbox(self._rules, self._view, self._home(number), trees, self._error)
        if self._preload is not None and self._error is None:
            self._preload.continue_in_run()
        return sandbox

    def _home(self, number: int) -> str:
        return home_of(self._spec.place, number) if self._view is None else self._spec.place

    def _watch(self, number: int, pid: int) -> None:
        pidfd = pidfd_open(pid)
        self._children[pidfd] = (number, pid)
        self._poll.register(pidfd, select.POLLIN)

    def _reap(self, pidfd: int) -> None:
        number, pid = self._children.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        with suppress(ProcessLookupError, PermissionError):  # a process that leads no group, or runs a setuid program
            os.killpg(pid, signal.SIGKILL)  # before the process ID is reused
        _, status = os.waitpid(pid, 0)
        self._tell(protocol.REAPED, number, status)

    def _tell(self, kind: bytes, number: int = 0, value: int = 0, descriptors: Iterable[int] = ()) -> None:
        try:
            send(self._control, protocol.NOTICE.pack(kind, number, value), list(descriptors))
        except OSError:
            self._connected = False


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
