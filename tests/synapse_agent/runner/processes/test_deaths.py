"""Stops at any instant; keepers, zygotes and runs that die, freeze or never start: what continues, and what remains."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from keepers import descendants, family, is_alive, keepers, spec_of, zygotes

from synapse_agent.problems import Problem
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes import execution, keeper
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.sandbox import OFF, probed

pytestmark = pytest.mark.anyio

KERNELS = probed(wanted=True)
SANDBOXES = {"off": OFF, "landlock": replace(KERNELS, namespaces=False), "namespaces": KERNELS}
KINDS = list(SANDBOXES) if KERNELS.namespaces else ["off", "landlock"]

HOLD = """
    import fcntl, os, signal, time
    from pathlib import Path

    def mark(folder, name):
        file = os.open(f"{folder}/{name}", os.O_CREAT | os.O_RDWR)
        fcntl.flock(file, fcntl.LOCK_EX)  # for as long as this process lives

    def hold(folder, name="run", seconds=60):
        mark(folder, name)
        end = time.monotonic() + seconds
        while not os.path.exists(f"{folder}/go") and time.monotonic() < end:
            time.sleep(0.005)
        return name
    """


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that runs may write to."""
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The test's own data folder, which identifies its processes."""
    return tmp_path / "data"


@pytest.fixture
async def held(kind: str, data: Path, folder: Path) -> AsyncIterator[LocalRunner]:
    runner = LocalRunner(data, sandbox=replace(SANDBOXES[kind], allow_write=(folder,)), limits=RunLimits(grace=30))
    yield runner
    await runner.close()
    assert family(data) == []


def alive(folder: Path) -> list[str]:
    """Return the marked processes that exist."""
    return [path.name for path in folder.iterdir() if path.name != "go" and is_locked(path)]


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def kill(pids: list[int], value: int = signal.SIGKILL) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, value)


async def test_a_stop_is_heard_at_any_instant(held, write_plugin, folder):
    """The run, of a release or from source, never starts, or ends at once, although `grace` is half a minute."""
    plugin = write_plugin(dedent(HOLD) + "\ndef act(folder):\n    hold(folder)\n")
    instants = random.Random(18)
    with suppress(Problem):
        await asyncio.wait_for(plugin.run(held, {"folder": "/nowhere"}), 30)
    for number in range(70):
        release = None if number % 3 == 0 else "tried@1.0.0"
        run = plugin.prepared({"folder": str(folder)}, release=release)
        task = asyncio.ensure_future(held.run(run, plugin.heard))
        await asyncio.sleep(instants.uniform(0, 0.06))
        began = time.monotonic()
        await held.stop(run.job_id)
        with pytest.raises(Problem) as caught:
            await task
        assert caught.value.error_type == "action_stopped"
        assert time.monotonic() - began < 20
    assert alive(folder) == []


LATE_STARTER = """
    import os, runpy, time

    fork = os.fork

    def fork_once_and_wait():
        os.fork = fork
        pid = fork()
        if pid:
            time.sleep(1)
        return pid

    os.fork = fork_once_and_wait
    runpy.run_path(KEEPER, run_name="__main__")
    """


async def test_a_stop_is_heard_before_the_starter_of_its_keeper_has_ended(
    held, write_plugin, folder, tmp_path, monkeypatch
):
    """Under load, a keeper can answer before the process that forked it continues; no message is lost."""
    plugin = write_plugin(dedent(HOLD) + "\ndef act(folder, seconds=0):\n    hold(folder, seconds=seconds)\n")
    await plugin.run(held, {"folder": str(folder)})
    starter = tmp_path / "keeper" / "__main__.py"
    starter.parent.mkdir()
    starter.write_text(dedent(LATE_STARTER).replace("KEEPER", repr(str(keeper.KEEPER))))
    monkeypatch.setattr(keeper, "KEEPER", starter)
    run = plugin.prepared({"folder": str(folder), "seconds": 20})
    run = replace(run, config=replace(run.config, env={"KEEPER": "another"}))
    task = asyncio.ensure_future(held.run(run, plugin.heard))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await held.stop(run.job_id)
    with pytest.raises(Problem) as caught:
        await task
    assert caught.value.error_type == "action_stopped"
    assert time.monotonic() - began < 10


async def test_runs_continue_without_their_zygote(held, kind, write_plugin, until, data, folder):
    """In a namespace the keeper adopts them; otherwise they end with it, and the error names the reason."""
    plugin = write_plugin(dedent(HOLD) + "\ndef act(folder, name):\n    return hold(folder, name)\n")
    runs = [asyncio.ensure_future(plugin.run(held, {"folder": str(folder), "name": f"run-{n}"})) for n in range(2)]
    await until(lambda: len(alive(folder)) == 2)
    kill(zygotes(data))
    if kind == "namespaces":
        await asyncio.sleep(0.3)
        assert len(alive(folder)) == 2
        (folder / "go").touch()
        assert await asyncio.gather(*runs) == ["run-0", "run-1"]
    else:
        problems = await asyncio.gather(*runs, return_exceptions=True)
        assert [(each.error_type, each.extra["signal"]) for each in problems] == [("action_killed", None)] * 2
        assert alive(folder) == []
    (folder / "go").touch()
    assert await plugin.run(held, {"folder": str(folder), "name": "next"}) == "next"


async def test_a_run_that_continues_ends_with_its_own_status(held, kind, write_plugin, until, data, folder):
    """Its exit code or signal is reported, since the keeper reaps it."""
    if kind != "namespaces":
        pytest.skip("runs end with their zygote")
    source = dedent(HOLD) + "\ndef act(folder, name):\n    hold(folder, name)\n    END\n"
    for end, error_type in (("os._exit(7)", "action_exited"), ("os.kill(os.getpid(), 11)", "action_killed")):
        plugin = write_plugin(source.replace("END", end))
        run = asyncio.ensure_future(plugin.problem(held, {"folder": str(folder), "name": error_type}))
        await until(lambda: alive(folder))
        kill(zygotes(data))
        (folder / "go").touch()
        problem = await run
        assert problem.error_type == error_type
        assert problem.extra.get("exit_code") == 7 or problem.extra["signal"] == "SIGSEGV"
        (folder / "go").unlink()


async def test_a_frozen_zygote_holds_up_no_result(held, write_plugin, until, data, folder):
    """The keeper kills it a second after a run has ended without its report; the next run has another zygote."""
    plugin = write_plugin(dedent(HOLD) + "\ndef act(folder, name):\n    return hold(folder, name)\n")
    run = asyncio.ensure_future(plugin.run(held, {"folder": str(folder), "name": "run"}))
    await until(lambda: alive(folder))
    frozen = zygotes(data)
    kill(frozen, signal.SIGSTOP)
    (folder / "go").touch()
    assert await asyncio.wait_for(run, 15) == "run"
    await until(lambda: not any(map(is_alive, frozen)))
    assert await plugin.run(held, {"folder": str(folder), "name": "next"}) == "next"


async def test_a_time_limit_holds_while_the_zygote_is_frozen(held, write_plugin, until, data, folder):
    """The keeper applies it, from the moment at which it accepted the run."""
    plugin = write_plugin(dedent(HOLD) + "\ndef act(folder):\n    return hold(folder)\n")
    run = asyncio.ensure_future(plugin.problem(held, {"folder": str(folder)}, time_limit=1.5))
    await until(lambda: alive(folder))
    kill(zygotes(data), signal.SIGSTOP)
    began = time.monotonic()
    assert (await run).error_type == "action_timeout"
    assert time.monotonic() - began < 10
    assert alive(folder) == []


def running_below(keeper: int) -> bool:
    """Return whether a keeper has more than a zygote and two waiting processes."""
    return len(descendants(keeper)) > 4


async def test_a_starter_that_hangs_holds_up_neither_a_stop_nor_the_event_loop(
    held, write_plugin, until, folder, tmp_path, monkeypatch
):
    """The process that should start a keeper is killed like a keeper that does not respond."""
    monkeypatch.setattr(execution, "KILLED_SECONDS", 0.5)
    held._limits = replace(held._limits, grace=0.5)
    starter = tmp_path / "keeper" / "__main__.py"
    starter.parent.mkdir()
    starter.write_text(f"import time\nopen({str(tmp_path / 'hangs')!r}, 'w').close()\ntime.sleep(600)\n")
    monkeypatch.setattr(keeper, "KEEPER", starter)
    plugin = write_plugin(dedent(HOLD) + "\ndef act(folder):\n    return hold(folder)\n")
    run = plugin.prepared({"folder": str(folder)}, release=None)
    task = asyncio.ensure_future(held.run(run, plugin.heard))
    await until((tmp_path / "hangs").exists)
    await held.stop(run.job_id)
    beats = 0
    while not task.done():
        await asyncio.sleep(0.05)
        beats += 1
    with pytest.raises(Problem) as caught:
        await task
    await held.close()
    assert caught.value.error_type == "action_stopped"
    assert beats >= 3, "a blocked event loop has one"


async def test_a_keeper_holds_nothing_of_runs_that_are_over(held, write_plugin, until, data):
    """No descriptor stays open, not even those of mounts, which runs send to their keeper."""
    plugin = write_plugin("def act():\n    return 1\n")
    await plugin.run(held, {})
    (keeper,) = [each for each in keepers(data) if spec_of(each).get("environment")]

    def is_at_rest() -> bool:
        return len(descendants(keeper)) == 3

    def held_open() -> int:
        return len(os.listdir(f"/proc/{keeper}/fd"))  # noqa: PTH208

    await until(is_at_rest)
    await asyncio.sleep(0.3)  # the keeper learns of its spare processes a moment after they exist
    before = held_open()
    await asyncio.gather(*(plugin.run(held, {}) for _ in range(12)))
    await until(lambda: is_at_rest() and held_open() == before)


async def test_a_killed_keeper_ends_all_its_processes(held, kind, write_plugin, until, data, folder):
    """Even processes in other sessions end; the next run has a new keeper."""
    source = dedent(HOLD) + dedent("""
        def act(folder, name):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    mark(folder, "daemon")
                    time.sleep(60)
                os._exit(0)
            while not os.path.exists(folder + "/daemon"):
                time.sleep(0.005)
            return hold(folder, name)
        """)
    plugin = write_plugin(source)
    run = asyncio.ensure_future(plugin.problem(held, {"folder": str(folder), "name": "run"}))
    await until(lambda: len(alive(folder)) == 2)
    busy = [pid for pid in keepers(data) if running_below(pid)]
    idle = [each for pid in keepers(data) if pid not in busy for each in (pid, *descendants(pid))]
    kill(busy)
    problem = await run
    assert (problem.error_type, problem.extra["signal"]) == ("action_killed", None)

    def is_over() -> bool:
        if kind != "namespaces":  # nothing else ends processes in a session of their own
            for pid in {*family(data)} - {*idle}:  # one whose parent is ending may be missing the first time
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return not alive(folder)

    await until(is_over)
    (folder / "go").touch()
    assert await plugin.run(held, {"folder": str(folder), "name": "next"}) == "next"


async def test_a_frozen_keeper_is_killed(held, write_plugin, until, data, folder, monkeypatch):
    """The agent kills it if it does not execute a command, such as stopping a run."""
    monkeypatch.setattr(execution, "KILLED_SECONDS", 1.0)
    monkeypatch.setattr(keeper, "END_SECONDS", 1.0)
    held._limits = replace(held._limits, grace=0.5)
    plugin = write_plugin(dedent(HOLD) + "\ndef act(folder):\n    return hold(folder)\n")
    run = plugin.prepared({"folder": str(folder)})
    task = asyncio.ensure_future(held.run(run, plugin.heard))
    await until(lambda: alive(folder))
    kill(keepers(data), signal.SIGSTOP)
    await held.stop(run.job_id)
    with pytest.raises(Problem):
        await asyncio.wait_for(task, 20)
    await until(lambda: not alive(folder))
    await held.close()  # while the limits are short


async def test_a_run_that_waits_for_its_zygote_can_be_stopped(held, write_plugin, data, folder):
    """The run never starts, however long the environment's code takes to start."""
    plugin = write_plugin(dedent(HOLD) + "\ndef act(folder):\n    (Path(folder) / 'ran').touch()\n")
    await plugin.run(held, {"folder": str(folder)})
    (folder / "ran").unlink()
    (environment,) = [path for path in (data / "environments").iterdir() if path.is_dir()]
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "slow.pth").write_text("import time; time.sleep(4)\n")
    run = plugin.prepared({"folder": str(folder)}, release=None)
    task = asyncio.ensure_future(held.run(run, plugin.heard))
    await asyncio.sleep(1)
    began = time.monotonic()
    await held.stop(run.job_id)
    with pytest.raises(Problem) as caught:
        await task
    assert caught.value.error_type == "action_stopped"
    assert time.monotonic() - began < 30
    assert not (folder / "ran").exists()


async def test_what_breaks_its_zygote_and_hides_is_found(kind, data, write_plugin, folder):
    """An action kills its parent and leaves a daemon: no process of it outlives the runner."""
    source = dedent(HOLD) + dedent("""
        def act(folder):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    mark(folder, "daemon")
                    time.sleep(60)
                os._exit(0)
            while not os.path.exists(folder + "/daemon"):
                time.sleep(0.005)
            try:
                os.kill(os.getppid(), signal.SIGKILL)
            except PermissionError:
                return "refused"
            time.sleep(5)
        """)
    runner = LocalRunner(data, sandbox=replace(SANDBOXES[kind], allow_write=(folder,)))
    plugin = write_plugin(source)
    with suppress(Problem):
        assert await plugin.run(runner, {"folder": str(folder)}) == "refused"
    await runner.close()
    assert alive(folder) == []
    assert family(data) == []
