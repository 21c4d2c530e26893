"""The start of a keeper: the process that the agent starts forks it and ends, so that it has no parent."""

from __future__ import annotations

import os
import sys
from _socket import socket
from contextlib import suppress
from typing import Any, NoReturn

from ..synapse_worker import view
from ..synapse_worker.kernel import become_subreaper, keep_from_being_traced
from ..synapse_worker.namespaces import IPC, MOUNTS, PROCESSES, bound_processes, enter_user_namespace, mount_processes
from ..synapse_worker.zygote import Spec
from .agent_link import greet
from .keeper import Keeper
from .lasting_runs import LastingRuns


def start(control_fd: int, spec: dict[str, Any]) -> NoReturn:
    """Fork a keeper, and end."""
    control = socket(fileno=control_fd)
    lasting = spec.pop("lasting", None)
    plan = Spec(**spec)
    if plan.cgroup is not None:
        os.write(plan.cgroup, b"0")
        os.close(plan.cgroup)
    if plan.namespaces:
        enter_user_namespace(MOUNTS | IPC | PROCESSES)
    if os.fork() == 0:
        _keep(control, plan, None if lasting is None else LastingRuns(**lasting))
    os._exit(0)


def probe() -> None:
    """Raise `OSError` if a keeper in its own namespaces cannot work; afterwards this process must end."""
    enter_user_namespace(MOUNTS | IPC | PROCESSES)
    pid = os.fork()
    if pid == 0:
        try:
            with suppress(PermissionError):
                mount_processes()
            view.probe()
        except OSError as error:
            print(f"{error.strerror or error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        sys.exit(1)


def _keep(control: socket, spec: Spec, lasting: LastingRuns | None) -> NoReturn:
    status = 1
    try:
        os.setsid()
        become_subreaper()
        if spec.namespaces:
            with suppress(PermissionError):  # a container masks its /proc: this process keeps the machine's
                mount_processes()
            bound_processes(spec.processes)
        keep_from_being_traced()
        greet(control)
        Keeper(control, spec, lasting).serve()
        status = 0
    except BaseException:  # nothing may return into `start`
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)
