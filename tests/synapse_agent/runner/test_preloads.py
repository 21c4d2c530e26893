"""Imports that happen once, before runs are forked: `preload` in `config.yaml`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.lasting_keepers import LastingKeepers
from synapse_agent.runner.processes.sandbox import OFF, SandboxPolicy, probed

pytestmark = pytest.mark.anyio

KERNELS = probed(wanted=True)
WITHOUT_NAMESPACES = SandboxPolicy(KERNELS.status, KERNELS.landlock_abi)
NOTE = b"synapse: imports are not shared: each run of this release imports by itself"


@pytest.fixture(params=[KERNELS, WITHOUT_NAMESPACES, OFF], ids=["namespaces", "landlock", "off"])
async def confining(request, data_dir: Path) -> AsyncIterator[LocalRunner]:
    """Return a runner with each sandbox that this machine offers."""
    runner = LocalRunner(data_dir, sandbox=request.param)
    yield runner
    await runner.close()


async def test_the_plugin_is_imported_once(confining, write_plugin):
    """The zygote imports it: what it prints is only in the log of the first run."""
    source = """
        import os
        print("imported")
        process, seen = os.getpid(), []

        def act():
            seen.append(1)
            return [process == os.getpid(), len(seen)]
        """
    plugin = write_plugin(source, preload=True)
    assert [await plugin.run(confining) for _ in range(3)] == [[False, 1]] * 3
    assert plugin.heard.log == b"imported\n"
    other = write_plugin(source, preload=False)
    assert [await other.run(confining) for _ in range(3)] == [[True, 1]] * 3
    assert other.heard.log == b"imported\n" * 3


async def test_named_modules_are_imported(runner, write_plugin):
    """Only these are imported; the plugin's own modules can be among them."""
    source = """
        import sys
        found = [name in sys.modules for name in ("decimal", "plugin.more", "csv")]

        def act():
            return found
        """
    plugin = write_plugin(source, preload=["decimal", "plugin.more"])
    (plugin.folder / "plugin" / "more.py").touch()
    assert await plugin.run(runner) == [True, True, False]


async def test_an_import_finds_what_a_run_has(confining, write_plugin):
    """It has the variables, the working directory and the folders of runs; files that it writes there stay."""
    source = """
        import os, tempfile
        from pathlib import Path

        FOLDERS = [Path.home(), Path(tempfile.gettempdir()), *map(Path, os.environ["OTHERS"].split())]

        def state():
            return [os.environ["TOLD"], os.getcwd(), os.environ["VIRTUAL_ENV"], str(Path.home())]

        for folder in FOLDERS:
            (folder / "deep").mkdir(exist_ok=True)
            (folder / "deep" / "written").write_text("at import")
        then = state()

        def act(write):
            found = [(folder / "deep" / "written").read_text() for folder in FOLDERS]
            for folder in FOLDERS:
                (folder / "deep" / "written").write_text(write)
            return {"found": found, "then": then, "now": state()}
        """
    others = "/tmp /var/tmp /dev/shm" if confining.sandbox is KERNELS else ""
    plugin = write_plugin(source, preload=True, env={"TOLD": "by config", "OTHERS": others})
    first, second = [await plugin.run(confining, {"write": text}) for text in ("one", "two")]
    assert plugin.heard.log == b""
    assert set(first["found"]) == {"at import"}
    assert first["then"][:3] == first["now"][:3] == ["by config", str(plugin.folder), first["now"][2]]
    if confining.sandbox is KERNELS:
        assert second["found"] == ["at import"] * 5
        assert first["then"] == first["now"]


RANDOM = """
    import random, sys
    {seeds}
    own = random.Random({seed})

    def act():
        return [random.random(), own.random()]
    """


async def test_random_numbers_differ_from_run_to_run(runner, write_plugin):
    """This includes generators that an import created; a seed that it set is kept."""
    plugin = write_plugin(RANDOM.format(seeds="", seed=""), preload=True)
    runs = [await plugin.run(runner) for _ in range(4)]
    assert len({number for run in runs for number in run}) == 8
    plugin = write_plugin(RANDOM.format(seeds="random.seed(5); random.random()", seed="7"), preload=True)
    runs = [await plugin.run(runner) for _ in range(3)]
    import random

    own = random.Random(5)
    own.random()
    assert runs == [[own.random(), random.Random(7).random()]] * 3


FAKE_TORCH = "sys.modules['torch'] = types.SimpleNamespace(cuda=types.SimpleNamespace(is_initialized=os.getpid))"
REFUSED = {
    "a thread": ("threading.Thread(target=time.sleep, args=(100,), daemon=True, name='mine').start()", b"mine"),
    "a native thread": ("_thread.start_new_thread(time.sleep, (100,))", b"threads run"),
    "a pool": ("pool = ThreadPoolExecutor(1); pool.submit(int).result()", b"ThreadPoolExecutor"),
    "a process": ("child = subprocess.Popen(['sleep', '100'])", b"processes"),
    "a connection": ("ours, theirs = socket.socketpair()", b"socket:"),
    "an event loop": ("loop = asyncio.new_event_loop()", b"eventpoll"),
    "an open file": ("words = open(__file__)", b"main.py"),
    "a database": ("database = sqlite3.connect(os.path.join(os.environ['HOME'], 'mine.db'))", b"mine.db"),
    "shared memory": ("shared = mmap.mmap(-1, 4096)", b"memory is shared"),
    "a lock of processes": ("lock = multiprocessing.get_context('fork').Lock()", b"memory is shared"),
    "many files": ("open(os.path.join(os.environ['HOME'], 'big'), 'wb').write(bytes(5 << 20))", b"4 MiB"),
    "a GPU": (FAKE_TORCH, b"CUDA"),
}


@pytest.mark.parametrize(("statement", "reason"), REFUSED.values(), ids=REFUSED)
async def test_what_a_fork_would_lose_or_share_keeps_imports_in_the_run(data_dir, write_plugin, statement, reason):
    """The log of the first run has the reason, and each run imports the modules itself."""
    source = f"""
        import _thread, asyncio, mmap, multiprocessing, os, socket, sqlite3, subprocess, sys, threading, time, types
        from concurrent.futures import ThreadPoolExecutor
        process = os.getpid()
        if "done" not in globals():
            done = True
            {statement}

        def act():
            return process == os.getpid()
        """
    runner = LocalRunner(data_dir, sandbox=KERNELS)
    try:
        plugin = write_plugin(source, preload=True)
        runs = [await plugin.run(runner) for _ in range(2)]
    finally:
        await runner.close()
    assert runs == [True, True]
    assert plugin.heard.log.count(NOTE) == 1
    assert reason in plugin.heard.log


FAILING = {
    "raises": ("raise RuntimeError('too early')", b"RuntimeError: too early"),
    "leaves": ("raise SystemExit(3)", b"SystemExit: 3"),
    "exits": ("os._exit(7)", b""),
    "crashes": ("os.kill(os.getpid(), 11)", b"wait status 11"),
}


@pytest.mark.parametrize(("statement", "said"), FAILING.values(), ids=FAILING)
async def test_an_import_that_fails_before_runs_is_done_by_runs(confining, write_plugin, statement, said):
    """The log of the first run has the error."""
    source = f"""
        import os, sys
        if os.environ.get("SYNAPSE_JOB_ID") is None:
            print("trying", flush=True)
            {statement}

        def act():
            return "ran"
        """
    plugin = write_plugin(source, preload=True)
    assert [await plugin.run(confining) for _ in range(2)] == ["ran", "ran"]
    assert plugin.heard.log.count(b"trying") == 1
    assert said in plugin.heard.log


async def test_handlers_that_an_import_sets_hold(runner, write_plugin, until):
    """Signal handlers and exit handlers of an import work in each run."""
    source = """
        import atexit, os, signal, time
        atexit.register(print, "at exit")
        signal.signal(signal.SIGTERM, lambda *_: print("stopped") or os._exit(0))

        def act():
            print("ready", flush=True)
            time.sleep(100)
        """
    plugin = write_plugin(source, preload=True)
    running = asyncio.create_task(plugin.run(runner))
    await until(lambda: b"ready" in plugin.heard.log)
    running.cancel()
    await asyncio.wait([running])
    assert plugin.heard.log == b"ready\nstopped\n"
    quick = write_plugin("import atexit\natexit.register(print, 'at exit')\ndef act():\n    return 1\n", preload=True)
    assert [await quick.run(runner) for _ in range(2)] == [1, 1]
    assert quick.heard.log == b"at exit\n" * 2


def test_runs_finalize_only_what_they_made(tmp_path: Path) -> None:
    """Finalizers and exit handlers run at the end of each process, as without a fork."""
    (tmp_path / "shared.py").write_text(
        "import atexit, weakref\n"
        "class Thing: pass\n"
        "kept = Thing()\n"
        "weakref.finalize(kept, print, 'shared finalizer')\n"
        "atexit.register(print, 'shared handler')\n"
    )
    program = (
        "import sys\n"
        "from synapse_agent.runner.synapse_worker.preloads import Preload\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "Preload(folder=sys.argv[1], home=sys.argv[1] + '/home', temporary=None).import_packages(['shared'])\n"
        "import shared, weakref\n"
        "weakref.finalize(shared.Thing, print, 'own finalizer')\n"
    )
    command = [sys.executable, "-c", program, tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert sorted(ended.stdout.splitlines()) == ["own finalizer", "shared handler"]


async def test_a_job_that_outlives_the_agent_reports_the_imports_that_it_waited_for(tmp_path, write_plugin):
    """Their time does not count as the time for its environment."""
    actions = {"act": {"entrypoint": "plugin.main:act", "method": "job"}}
    plugin = write_plugin("import time\ntime.sleep(0.4)\ndef act():\n    pass\n", preload=True, actions=actions)
    lasting = LastingKeepers(tmp_path / "data" / "keepers", orphan_limit=60.0)
    runner = LocalRunner(tmp_path / "data", lasting_runs=lasting)
    try:
        for _ in range(2):
            await plugin.run(runner)
    finally:
        await runner.close()
    first, second = plugin.heard.timings
    assert first["import"] >= 0.4
    assert second["import"] < 0.4


async def test_a_run_reports_the_parts_of_its_time(runner, write_plugin):
    """Imports before the fork, in the run and in the action count as imports; the rest is the action's time."""
    source = """
        import time
        time.sleep(0.8)

        def act():
            import plugin.late
            time.sleep(0.1)
        """
    plugin = write_plugin(source)
    (plugin.folder / "plugin" / "late.py").touch()
    await plugin.run(runner)
    (times,) = plugin.heard.timings
    assert times["hint"].startswith("Imports took ")
    assert "preload: true" in times["hint"]
    assert times["import"] >= 0.8
    assert times["action"] >= 0.1
    assert times["environment"] > 0
    plugin = write_plugin(source, preload=True)
    (plugin.folder / "plugin" / "late.py").touch()
    for _ in range(2):
        await plugin.run(runner)
    first, second = plugin.heard.timings
    assert first["import"] >= 0.8
    assert second["import"] < 0.8
    assert second["hint"] is None
