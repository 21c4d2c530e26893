"""Whatever a plugin does to its process, descriptors or children affects no other run."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from textwrap import dedent

import pytest
from keepers import descendants, family

from synapse_agent.runner.environments.interpreters import Interpreters
from synapse_agent.runner.keeper.runs import QueuedRun, RunningRun, SpareProcess
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes import execution
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.sandbox import OFF, probed

pytestmark = pytest.mark.anyio

KERNELS = probed(wanted=True)
SANDBOXES = {"off": OFF, "landlock": replace(KERNELS, namespaces=False), "namespaces": KERNELS}
KINDS = list(SANDBOXES) if KERNELS.namespaces else ["off", "landlock"]
"""Every kind of isolation that this machine offers."""

START = """
    import fcntl, os, signal, subprocess, sys, time
    from pathlib import Path

    def note(folder):
        mark = os.open(f"{folder}/{os.getpid()}", os.O_CREAT | os.O_RDWR)
        fcntl.flock(mark, fcntl.LOCK_EX)  # for as long as this process lives

    def wait():
        while True:
            time.sleep(60)

    def noted(folder, count):
        end = time.monotonic() + 10
        while len(os.listdir(folder)) < count and time.monotonic() < end:
            time.sleep(0.005)
        return sorted(os.listdir(folder))
    """


def alive(pids):
    """Return the processes that exist, including zombies."""
    return [pid for pid in pids if Path("/proc", pid).exists()]


def marked(folder):
    """Return the processes with a mark that still exist, whatever their IDs in their namespace."""
    return [path.name for path in folder.iterdir() if _is_locked(path)]


def _is_locked(path):
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def descriptors():
    """Count this process's open files."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_all_that_an_action_started_ends_with_it(runner, write_plugin, tmp_path):
    """A child, a double fork in its own session, and a process that ignores SIGTERM end before the result arrives."""
    source = dedent(START) + dedent("""
        def act(folder):
            if os.fork() == 0:
                note(folder)
                wait()
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.setsid()
                    note(folder)
                    wait()
                os._exit(0)
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                note(folder)
                wait()
            return noted(folder, 3)
        """)
    pids = await write_plugin(source).run(runner, {"folder": str(_made(tmp_path / "pids"))})
    assert len(pids) == 3
    assert alive(pids) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("ending", "error_type"),
    [
        ("raise ValueError", "action_failed"),
        ("os._exit(3)", "action_exited"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "action_killed"),
        ("wait()", "action_timeout"),
    ],
)
async def test_all_that_an_action_started_ends_however_it_ends(
    data_dir, write_plugin, tmp_path, ending, error_type, kind
):
    """This covers processes that ignore SIGTERM or have their own session, with and without the sandbox."""
    source = dedent(START) + dedent(f"""
        def act(folder):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if os.fork() == 0:
                note(folder)
                wait()
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    note(folder)
                    wait()
                os._exit(0)
            noted(folder, 2)
            {ending}
        """)
    folder = _made(tmp_path / "pids")
    runner = LocalRunner(data_dir, limits=RunLimits(grace=0.1), sandbox=replace(SANDBOXES[kind], allow_write=(folder,)))
    problem = await write_plugin(source).problem(runner, {"folder": str(folder)}, time_limit=2.0)
    assert problem.error_type == error_type
    assert len(list(folder.iterdir())) == 2
    assert marked(folder) == []
    await runner.close()


async def test_a_chain_of_processes_that_fork_and_end_is_caught(runner, write_plugin, tmp_path):
    """Each process exists for a moment, has its own session, and starts the next one before it ends."""
    source = dedent(START) + dedent("""
        def act(mark):
            if os.fork() == 0:
                while True:
                    os.setsid()
                    Path(mark).touch()
                    if os.fork() > 0:
                        os._exit(0)
            time.sleep(0.2)
        """)
    mark = tmp_path / "mark"
    await write_plugin(source).run(runner, {"mark": str(mark)})
    mark.unlink()
    await asyncio.sleep(0.2)
    assert not mark.exists()


async def test_ending_one_run_leaves_the_next_ones_children_alone(runner, write_plugin, until, tmp_path):
    """Of two concurrent runs of a zygote, only the leftovers of the ended one are killed."""
    source = dedent(START) + dedent("""
        def act(folder, go):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    note(folder)
                    wait()
                os._exit(0)
            pid, = noted(folder, 1)
            while not os.path.exists(go):
                time.sleep(0.005)
            return [pid, os.path.exists(f"/proc/{pid}")]
        """)
    plugin = write_plugin(source)
    folders = [_made(tmp_path / name) for name in ("first", "second")]
    runs = [
        asyncio.ensure_future(plugin.run(runner, {"folder": str(folder), "go": f"{folder}.go"})) for folder in folders
    ]
    await until(lambda: all(any(folder.iterdir()) for folder in folders))
    for folder, run in zip(folders, runs, strict=True):
        _touch(f"{folder}.go")
        pid, was_alive = await run
        assert was_alive
        assert alive([pid]) == []


async def test_a_child_that_holds_the_output_does_not_hold_up_the_end(runner, write_plugin):
    """Result and log are returned at once."""
    source = dedent(START) + dedent("""
        def act():
            subprocess.Popen(["sleep", "60"])
            print("done")
            return 1
        """)
    plugin = write_plugin(source)
    began = time.monotonic()
    assert await plugin.run(runner) == 1
    assert time.monotonic() - began < 30
    assert plugin.heard.log == b"done\n"


QUEUED = """
    import atexit, sys, threading, time
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    def upload(mark):
        time.sleep(0.2)
        Path(mark).touch()

    def submit(mark):
        ThreadPoolExecutor().submit(upload, mark)

    def thread(mark):
        threading.Thread(target=upload, args=(mark,)).start()

    def handler(mark):
        atexit.register(upload, mark)

    def act(how, mark, leave=None):
        globals()[how](mark)
        if leave == "raise":
            raise ValueError("after that")
        if leave == "exit":
            sys.exit(3)
        return 1
    """


WAYS_TO_QUEUE = ("submit", "thread", "handler")
WAYS_TO_LEAVE = (None, "raise", "exit")


async def test_what_is_queued_when_the_action_returns_is_done(data_dir, write_plugin, tmp_path):
    """As at the end of any Python program, on every Python of the machine and for every way to exit.

    The first Python has every pair of ways, each other one has every way once.
    """
    pythons = {python.version: python.path for python in reversed(await Interpreters().all())}
    for number, (version, path) in enumerate(pythons.items()):
        runner = LocalRunner(data_dir, pythons=[path])
        plugin = write_plugin(QUEUED, requires={"python": f"=={version}"})
        pairs = product(WAYS_TO_QUEUE, WAYS_TO_LEAVE) if number == 0 else zip(WAYS_TO_QUEUE, WAYS_TO_LEAVE, strict=True)
        for how, leave in pairs:
            mark = tmp_path / f"{how}-{version}-{leave}"
            params = {"how": how, "mark": str(mark), "leave": leave}
            if leave is None:
                assert await plugin.run(runner, params) == 1
            else:
                ended = await plugin.problem(runner, params)
                assert ended.error_type == {"raise": "action_failed", "exit": "action_exited"}[leave]
            assert mark.exists(), (version, how, leave)
        await runner.close()


@pytest.mark.parametrize(
    "action",
    [
        "    threading.Thread(target=time.sleep, args=(60,)).start()\n    return 1\n",
        "    atexit.register(time.sleep, 60)\n    return 1\n",
    ],
)
async def test_what_is_queued_ends_with_the_time_limit(runner, write_plugin, action):
    """Then the run has failed, because the agent ended it."""
    plugin = write_plugin(f"import atexit, threading, time\n\ndef act():\n{action}")
    began = time.monotonic()
    problem = await plugin.problem(runner, time_limit=0.5)
    assert time.monotonic() - began < 30
    assert (problem.status, problem.error_type) == (500, "action_timeout")
    assert problem.message.startswith("The action returned, but its queued work was not done within its time limit")


async def test_a_failure_is_reported_though_something_queued_never_ends(runner, write_plugin):
    """The action's failure is reported, not the timeout, since it is more useful."""
    source = (
        "import threading, time\n\ndef act():\n    threading.Thread(target=time.sleep, args=(60,)).start()\n    1 / 0\n"
    )
    problem = await write_plugin(source).problem(runner, time_limit=0.5)
    assert problem.extra["exception_type"] == "ZeroDivisionError"


async def test_what_lingers_after_that_is_ended(runner, write_plugin, monkeypatch):
    """A stream of the plugin that can't be flushed is given up after a moment, without a time limit."""
    monkeypatch.setattr(execution, "_LINGER_SECONDS", 0.3)
    source = """
        import sys, time

        class Stuck:
            def write(self, text): pass
            def flush(self): time.sleep(60)

        def act():
            sys.stdout = Stuck()
            return 1
        """
    assert await write_plugin(source).run(runner) == 1


async def test_daemon_threads_do_not_hold_up_the_end(runner, write_plugin):
    """A plain Python program does the same."""
    source = """
        import threading, time

        def act():
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            return 1
        """
    began = time.monotonic()
    assert await write_plugin(source).run(runner) == 1
    assert time.monotonic() - began < 30


async def test_what_an_action_registers_at_exit_is_run(runner, write_plugin, tmp_path):
    """Libraries use it to write their last lines."""
    source = """
        import atexit
        from pathlib import Path

        def act(mark):
            atexit.register(Path(mark).touch)
        """
    await write_plugin(source).run(runner, {"mark": str(tmp_path / "mark")})
    assert (tmp_path / "mark").exists()


async def test_a_fork_that_returns_from_the_action_reports_nothing(runner, write_plugin):
    """The child's result is not the run's."""
    source = """
        import os

        def act():
            child = os.fork()
            if child == 0:
                return "forged"
            os.waitpid(child, 0)
            return "mine"
        """
    assert await write_plugin(source).run(runner) == "mine"


async def test_writing_to_every_descriptor_forges_nothing(runner, write_plugin):
    """It can't change the outcome of its own run or of another one."""
    source = """
        import os

        def act():
            for descriptor in range(3, 1000):
                for data in (b"", b"x" * 16 + b'R"forged"', b'{"forged": 1}' * 9000):
                    try:
                        os.write(descriptor, data)
                    except OSError:
                        pass
            return "mine"
        """
    assert await write_plugin(source).run(runner) == "mine"


async def test_closing_every_descriptor_costs_the_result_and_nothing_else(runner, write_plugin):
    """The run fails with a reason, and the next one works."""
    source = "import os\n\ndef act(close):\n    if close:\n        os.closerange(3, 5000)\n    return 1\n"
    plugin = write_plugin(source)
    assert (await plugin.problem(runner, {"close": True})).error_type == "action_exited"
    assert b"OSError" in plugin.heard.log
    assert await plugin.run(runner, {"close": False}) == 1


async def test_output_of_any_kind_becomes_the_log(runner, write_plugin):
    """This covers invalid UTF-8, a missing last newline, half a surrogate pair, output of a child, and warnings."""
    source = """
        import os, subprocess, sys, warnings

        def act():
            sys.stdout.buffer.write(b"\\xff\\xfe\\n")
            sys.stdout.flush()
            print("\\udcff가")
            subprocess.run(["echo", "from a child"])
            warnings.warn("be careful")
            print("the end", end="")
        """
    plugin = write_plugin(source)
    await plugin.run(runner)
    assert plugin.heard.log.startswith(b"\xff\xfe\n\\udcff\xea\xb0\x80\nfrom a child\n")
    assert b"plugin/main.py:9: UserWarning: be careful" in plugin.heard.log
    assert plugin.heard.log.endswith(b"the end")


async def test_the_log_is_bounded(data_dir, write_plugin):
    """Output over the limit is dropped with one notice, and the action does not wait."""
    runner = LocalRunner(data_dir, limits=RunLimits(log_bytes=1000))
    plugin = write_plugin("def act():\n    for n in range(300_000):\n        print('x' * 99)\n    return n\n")
    assert await plugin.run(runner) == 299_999
    await runner.close()
    assert plugin.heard.log[:1000] == (b"x" * 99 + b"\n") * 10
    assert plugin.heard.log[1000:] == b"\n... more than 1000 bytes of output; the rest is left out ...\n"


async def test_killing_the_zygote_fails_its_runs_and_no_later_one(runner, write_plugin):
    """A plugin can do that; the agent notices it and starts another zygote."""
    source = """
        import os, signal, time

        def act(kill):
            if kill:
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(60)
            return 1
        """
    plugin = write_plugin(source)
    problem = await plugin.problem(runner, {"kill": True})
    assert (problem.error_type, problem.extra["signal"]) == ("action_killed", None)
    assert await plugin.run(runner, {"kill": False}) == 1


async def test_killing_the_processes_that_wait_for_a_run_costs_no_run(runner, write_plugin, until):
    """The zygote forks another one."""
    plugin = write_plugin("import os\n\ndef act():\n    return os.getppid()\n")
    zygote = await plugin.run(runner)
    await until(lambda: len(descendants(zygote)) == 2)
    waiting = descendants(zygote)
    for pid in waiting:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: not set(waiting) & set(descendants(zygote)))
    assert await plugin.run(runner) == zygote


async def test_a_run_holds_no_descriptor_of_its_zygotes(runner, write_plugin, until):
    """It has only its input, its log (twice) and its reports: no channel to the zygote or to other runs."""
    source = """
        import os

        def act():
            links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
            return os.getppid(), sorted(os.readlink(link).partition(":")[0] for link in links if os.path.islink(link))
        """
    plugin = write_plugin(source)
    zygote, first = await plugin.run(runner)
    held = [first]
    for _ in range(4):
        await until(lambda: descendants(zygote))
        _, names = await plugin.run(runner)
        held.append(names)
    assert held == [["/dev/null", "pipe", "pipe", "socket"]] * 5


async def test_a_zygote_that_cannot_start_reports_why(tmp_path, write_plugin):
    """A broken environment is reported with the original error."""
    runner = LocalRunner(tmp_path / "data")
    plugin = write_plugin("def act():\n    return 1\n")
    await plugin.run(runner)
    (environment,) = (tmp_path / "data" / "environments").iterdir()
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "broken.pth").write_text("import os, sys; print('it is broken', file=sys.stderr); os._exit(1)\n")
    problem = await plugin.problem(runner, release=None)
    await runner.close()
    assert (problem.status, problem.error_type) == (503, "unavailable")
    assert "the one that starts the plugin's runs has ended" in problem.message
    assert problem.message.endswith("Its output: it is broken. Try again later.")


async def test_runs_leave_nothing_behind(data_dir, write_plugin):
    """After a hundred runs and `close`, no descriptor, process, zombie or folder is left."""
    plugin = write_plugin("def act(n):\n    if n % 7 == 0:\n        raise ValueError(n)\n    return n\n")

    async def hundred():
        runner = LocalRunner(data_dir)
        for n in range(0, 100, 4):
            runs = (runner.run(plugin.prepared({"n": n + k}), plugin.heard) for k in range(4))
            await asyncio.gather(*runs, return_exceptions=True)
        busy = descriptors()
        await runner.close()
        return busy

    await hundred()
    before = (descriptors(), descendants(os.getpid()), family(data_dir), sorted((data_dir / "scratch").iterdir()))
    busy = await hundred()
    after = (descriptors(), descendants(os.getpid()), family(data_dir), sorted((data_dir / "scratch").iterdir()))
    assert after[1:] == before[1:]
    assert after[0] <= before[0]  # what other tests have left may end meanwhile
    assert busy < before[0] + 15


async def test_zygotes_are_bounded(data_dir, write_plugin, until):
    """The least recently used zygote ends."""
    runner = LocalRunner(data_dir, max_zygotes=2)
    plugins = [write_plugin("import os\n\ndef act():\n    return os.getppid()\n") for _ in range(3)]
    first = [await plugin.run(runner) for plugin in plugins]
    assert await plugins[2].run(runner) == first[2]
    assert await plugins[0].run(runner) != first[0]
    await until(lambda: len(alive(map(str, first))) == 1)
    await runner.close()


async def test_forgetting_a_folder_ends_no_run(runner, write_plugin, until, tmp_path):
    """Its zygote ends after the run, since the deleted release may be cached again and in use."""
    source = "import os, time\n\ndef act(go):\n    while not os.path.exists(go):\n        time.sleep(0.005)\n"
    plugin = write_plugin(source + "    return os.getppid()\n")
    run = asyncio.ensure_future(plugin.run(runner, {"go": str(tmp_path / "go")}))
    await until(lambda: plugin.heard.starts)
    await runner.forget(plugin.folder)
    _touch(tmp_path / "go")
    zygote = await run
    await until(lambda: not alive([str(zygote)]))


async def test_killing_the_agent_leaves_no_process(data_dir, start_agent, write_plugin, until, tmp_path):
    """After a kill -9 of the runner's process, zygote, action and its processes end soon."""
    source = dedent(START) + dedent("""
        def act(folder):
            Path(folder, str(os.getppid())).touch()
            note(folder)
            if os.fork() == 0:
                os.setsid()
                if os.fork() > 0:
                    os._exit(0)
                note(folder)
            wait()
        """)
    plugin = write_plugin(source)
    folder = _made(tmp_path / "pids")
    agent = start_agent(plugin, data_dir, {"folder": str(folder)})
    try:
        await until(lambda: len(list(folder.iterdir())) == 3)
        pids = [path.name for path in folder.iterdir()]
        assert len(alive(pids)) == 3
    finally:
        agent.kill()
        agent.wait()
    await until(lambda: not alive(pids))


async def test_killing_an_agent_that_has_stopped_listening_leaves_no_process(
    data_dir, start_agent, write_plugin, until, tmp_path
):
    """The zygote's last output is never read; it must still end its runs before it ends."""
    source = dedent(START) + dedent("""
        def act(folder):
            if os.fork() == 0:
                os.setsid()
                note(folder)
                wait()
            noted(folder, 2)
            wait()
        """)
    folder = _made(tmp_path / "pids")
    agent = start_agent(write_plugin(source), data_dir, {"folder": str(folder)}, runs=2)
    await until(lambda: len(list(folder.iterdir())) == 2)
    agent.kill()
    agent.wait()
    pids = [int(path.name) for path in folder.iterdir()]
    await until(lambda: not alive(map(str, pids)))


def _made(folder):
    folder.mkdir()
    return folder


def _touch(path):
    Path(path).touch()


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2048, reason="too few descriptors are permitted")
def test_a_keeper_of_many_runs_notices_their_ends() -> None:
    """`select` fails for descriptors from 1,024 on, which a keeper of a hundred runs has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    process = subprocess.Popen(["sleep", "60"])
    ours, theirs = socket.socketpair()
    try:
        spare = SpareProcess(1, process.pid, ours)
        low, spare.pidfd = spare.pidfd, fcntl.fcntl(spare.pidfd, fcntl.F_DUPFD_CLOEXEC, 1024)
        os.close(low)
        run = RunningRun(QueuedRun(1, 0, 0, False, []), spare)
        assert not run.has_ended()
        process.kill()
        process.wait()
        assert run.has_ended()
        spare.close()
    finally:
        theirs.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


KEEPER = """
import os, resource
from contextlib import suppress
from synapse_agent.runner.keeper.runs import kill_children
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
taken = []
with suppress(OSError):
    while True:
        taken.append(os.dup(0))
without = kill_children()
for descriptor in taken:
    os.close(descriptor)
print(without, kill_children())
"""


def test_a_keeper_without_descriptors_looks_for_leftovers_again_later() -> None:
    """Otherwise it would end, and with it all its runs."""
    done = subprocess.run([sys.executable, "-c", KEEPER], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("False True\n", "")
