"""The process of one run, from the fork to its end."""

from __future__ import annotations

import atexit
import gc
import json
import os
import resource
import sys
from _socket import socket
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NoReturn

from . import protocol, rehearsal
from .bytecode import tell_instead_of_writing
from .context import Context
from .entrypoints import load
from .imports import WATCH
from .inputs import Input, resolved
from .invoke import call
from .kernel import become_subreaper, die_with_parent, end_when_told, receive, yield_to_others
from .namespaces import leave_mounts
from .outcome import outcome_of, parted, read_params, written
from .references import expanded
from .reports import Reports, moved
from .sandbox import Sandbox
from .view import outputs_of

_REHEARSED = "SYNAPSE_REHEARSED"


def become_run(
    connection: socket, *, zygote: int | None, folder: str, in_time: bool, prepare: Callable[[], Sandbox]
) -> NoReturn:
    """Turn this process, just forked, into the run whose descriptors it receives; it always ends here.

    `in_time` is whether no run waits for it yet. It ends with the process `zygote` if that is passed.
    """
    status = 1
    try:
        _separate(zygote)
        if in_time:
            warm_up()
        sandbox = prepare()
        if sandbox.has_mounts:
            leave_mounts(connection)
        shown, (report, log, file, *trees) = _wait(connection)
        _take_log(log)
        status = _execute(file, report, folder, sandbox, shown, trees)
    except SystemExit as leaving:
        status = _exit_status(leaving.code)
    except BaseException:  # nothing may return into the zygote's loop
        sys.excepthook(*sys.exc_info())
    finally:
        _flush()
        os._exit(status)


def _separate(zygote: int | None) -> None:
    """Leave the zygote's session, become the parent of orphans, and accept SIGTERM and SIGINT again."""
    if zygote is not None:
        die_with_parent(zygote)
    os.setsid()
    become_subreaper()
    end_when_told()


def warm_up() -> None:
    """Rehearse what a run does first, while no run waits.

    A forked process shares its memory with its parent, and copies a page at the first write to it, which takes longer
    than most of its work. And Python modifies code objects until they have run several times:
    the zygote rehearses often before it forks.
    """
    _set_environ({_REHEARSED: ""})
    del os.environ[_REHEARSED]
    _, params = parted(b'{"warm_up": true}\n{"number": 1}')
    null = moved(os.open(os.devnull, os.O_WRONLY))
    reports = Reports(null, bytes(protocol.SECRET_BYTES))
    context = Context(reports, job_id="", action="", language=None, outputs="", storage="")
    result = call(_imported_anew(), action="", params=read_params(params), context=context)
    text = written(result, context, limit=protocol.MAX_PAYLOAD).text
    reports.imports(WATCH.report())
    reports.outcome(protocol.RESULT, text)
    os.close(null)


def _imported_anew() -> Callable[..., Any]:
    """Import an action as a run imports its plugin's; the bytecode of this package is beside it."""
    prefix, sys.pycache_prefix = sys.pycache_prefix, None
    del sys.modules[rehearsal.__name__]
    __import__(rehearsal.__name__)
    sys.pycache_prefix = prefix
    action: Callable[..., Any] = sys.modules[rehearsal.__name__].action
    return action


def _wait(connection: socket) -> tuple[bytes, list[int]]:
    """Wait for the descriptors of a run and their description; exit if the keeper has closed its end."""
    message, descriptors = receive(connection, 1 + protocol.MAX_SHOWN, protocol.MAX_DESCRIPTORS)
    if not message:
        sys.exit()
    connection.close()
    return message[len(protocol.TAKE) :], descriptors


def _take_log(descriptor: int) -> None:
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _read(descriptor: int) -> tuple[dict[str, Any], bytes]:
    """Read the request: a line of JSON, then the raw params. The agent wrote and rewound the file."""
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        return parted(file.read())


def _execute(request_file: int, report: int, folder: str, sandbox: Sandbox, shown: bytes, trees: Sequence[int]) -> int:
    request, params = _read(request_file)
    request["shown"] = [(request["shown"][index][0], tree) for index, tree in zip(shown, trees)]
    trees = trees[len(shown) :]
    if "command" in request:
        if request["in_background"]:
            yield_to_others()
        _settle(request, sandbox, trees)
        _become_command(request, request_file, len(params))
    os.close(request_file)
    reports = Reports(moved(report), bytes.fromhex(request["secret"]))
    try:
        request["paths"] = _settle(request, sandbox, trees)
    except (OSError, ValueError) as error:
        reports.outcome(protocol.FAILURE, json.dumps({"message": str(error)}).encode())
        return 1
    outputs = outputs_of(sandbox.home)
    _set_environ({"HOME": sandbox.home, "TMPDIR": sandbox.home, "SYNAPSE_OUTPUT_DIR": outputs, **request["env"]})
    _set_environ({name: expanded(value, os.environ) for name, value in request["plugin_env"].items()})
    if request["brings_folder"]:
        _import_from(request["folder"], instead_of=folder)
    _look_like_a_fresh_interpreter(request["entrypoint"])
    context = Context(
        reports,
        job_id=request["job_id"],
        action=request["action"],
        language=request["language"],
        outputs=outputs,
        storage=os.environ["SYNAPSE_STORAGE_DIR"],
    )
    tell_instead_of_writing(reports.uncompiled)
    reports.tell(protocol.BEGUN)
    if "worker" in request:
        from .serving import serve  # rarely needed

        status = serve(request, reports, context, request["folder"], sandbox)
        _do_queued_work()
        return status
    return _act(request, params, context, reports, request["folder"], sandbox)


def _import_from(folder: str, *, instead_of: str) -> None:
    """Import modules from this run's own folder instead of the zygote's."""
    sys.path[sys.path.index(instead_of)] = folder
    sys.path_importer_cache.pop(folder, None)
    WATCH.own(folder)


def _become_command(request: dict[str, Any], request_file: int, input_size: int) -> NoReturn:
    """Execute another program, which reads the rest of the request on its stdin."""
    os.lseek(request_file, -input_size, os.SEEK_END)
    os.dup2(request_file, 0)
    os.execve(request["command"][0], request["command"], request["env"])


def _act(
    request: dict[str, Any], params: bytes, context: Context, reports: Reports, folder: str, sandbox: Sandbox
) -> int:
    """Run the action, report its outcome, and end like an interpreter: queued work is done first."""
    process = os.getpid()
    outcome: tuple[bytes, bytes] | None = None
    status = 0
    try:
        work = _work(request, params, context, folder)
        outcome = outcome_of(work, context, limit=request["result_bytes"], folder=folder, sandbox=sandbox)
    except SystemExit as leaving:
        status = _exit_status(leaving.code)
    if os.getpid() != process:  # a child that the action forked may return here too
        return status
    context.flush()
    is_queued = _has_queued_work()
    if is_queued:
        reports.tell(protocol.QUEUED)
    reports.imports(WATCH.report())
    if outcome is not None:
        reports.outcome(*outcome)
    if is_queued:
        _do_queued_work()
        reports.tell(protocol.DONE)
    return status


def _has_queued_work() -> bool:
    if atexit._ncallbacks() > 0:  # executors of Python 3.8 use one to wait for their threads, which are daemons
        return True
    threading = sys.modules.get("threading")
    if threading is None:
        return False
    main = threading.main_thread()
    return any(not thread.daemon for thread in threading.enumerate() if thread is not main)


def _do_queued_work() -> None:
    """Wait for threads and call exit handlers, in the order of an ending interpreter."""
    threading = sys.modules.get("threading")
    for wait in (*([] if threading is None else [threading._shutdown]), atexit._run_exitfuncs):
        try:
            wait()
        except BaseException:  # an interpreter prints these errors and continues
            sys.excepthook(*sys.exc_info())


def _set_environ(env: dict[str, str]) -> None:
    for name, value in env.items():  # `update` would check the type of the mapping, which is slower
        os.environ[name] = value


def _settle(request: dict[str, Any], sandbox: Sandbox, trees: Sequence[int]) -> dict[tuple[str, str], str]:
    _limit(request["limits"])
    inputs = [Input(*each) for each in request["inputs"]]
    paths = sandbox.enter(writable=request["writable"], shown=request["shown"], inputs=inputs, trees=trees)
    os.chdir("/")  # into a view that was mounted over the working directory
    os.chdir(request["folder"])
    return paths


def _look_like_a_fresh_interpreter(entrypoint: str) -> None:
    sys.argv = [entrypoint]
    sys.modules["__main__"] = ModuleType("__main__")
    gc.enable()


def _work(request: dict[str, Any], text: bytes, context: Context, folder: str) -> Callable[[], Any]:
    """Return this run's work as a function without arguments."""
    if "describe" in request:
        from .schemas import described  # rarely needed

        served = request["describe_served"]
        return lambda: WATCH.timed(lambda: described(request["describe"], folder=folder, served=served))
    if request["served"]:  # from source: a release's action has a worker
        from .held import call_once

        return lambda: call_once(_target(request, folder), params=_params(request, text), context=context)

    def act() -> Any:
        params = _params(request, text)
        return call(_target(request, folder), action=context.action, params=params, context=context)

    return act


def _target(request: dict[str, Any], folder: str) -> Any:
    return WATCH.timed(lambda: load(request["entrypoint"], folder=folder))


def _params(request: dict[str, Any], text: bytes) -> dict[str, Any]:
    params = read_params(text)
    return resolved(params, request["paths"]) if request["paths"] else params


def _limit(limits: dict[str, int]) -> None:
    """Set resource limits by name, never above the current ones; no run leaves a core file.

    A run may raise its own number of open files again.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, wanted in limits.items():
        kind = getattr(resource, name)
        _, most = resource.getrlimit(kind)
        # Reaching the soft limit on CPU time causes a specific signal, reaching the hard one only SIGKILL.
        hard = {resource.RLIMIT_CPU: wanted + 1, resource.RLIMIT_NOFILE: most}.get(kind, wanted)
        if most != resource.RLIM_INFINITY:
            hard = min(hard, most)
        resource.setrlimit(kind, (min(wanted, hard), hard))


def _exit_status(code: Any) -> int:
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue  # replaced or closed by the action
