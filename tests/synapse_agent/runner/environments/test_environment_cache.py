"""Cached environments: they are found again, limited, removable by other processes, and never used incomplete."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from itertools import count
from pathlib import Path

import pytest
from keepers import is_alive, spec_of, zygotes

from synapse_agent.problems import Problem
from synapse_agent.runner.environments.installer import Installer, InstallFailed
from synapse_agent.runner.environments.interpreters import Interpreters
from synapse_agent.runner.environments.pool import Environments
from synapse_agent.runner.environments.store import Remover, stored_environments
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.commands import Commands
from synapse_agent.runner.processes.sandbox import OFF
from synapse_agent.runner.processes.zygote_pool import ZygotePool
from synapse_agent.storage.eviction import CacheBounds
from synapse_agent.storage.scratch import Scratch

pytestmark = pytest.mark.anyio

BASE = Path(sys._base_executable).resolve()
ACT = "import sys\n\ndef act():\n    return sys.prefix\n"
WAIT = """
import sys, time
from pathlib import Path

def act(started, go):
    Path(started).touch()
    while not Path(go).exists():
        time.sleep(0.005)
    import late
    return late.WORD
"""


@pytest.fixture
def data(tmp_path):
    """Return the data folder of the test's runners."""
    return tmp_path / "data"


@pytest.fixture
async def make_runner(data, wheels):
    """Return a function that creates runners which find the packages of `wheels`; they are closed at the end."""
    runners = []

    def make(**options):
        runners.append(LocalRunner(data, environ=wheels.environ, **options))
        return runners[-1]

    yield make
    for runner in runners:
        await runner.close()


def there(data):
    """List the folders of the environments."""
    return {str(path) for path in (data / "environments").iterdir()}


def age(prefix):
    """Make an environment look unused for some time."""
    os.utime(Path(prefix, "last-use"), (1000, 1000))


def make_older(prefix):
    """Make an environment look like one of an older agent, which did not record its content."""
    remove(prefix, "environment.json")
    remove(prefix, "last-use")
    os.utime(prefix, (1000, 1000))


def remove(folder, name):
    """Remove a file."""
    Path(folder, name).unlink()


def copy_of_python(path):
    """Copy a Python to a place at which the test can change it."""
    return Path(shutil.copy(BASE, path))


def replace(path, new):
    """Replace a file by another one."""
    new.replace(path)


def prune(data, tmp_path):
    """Remove what can be removed, as another process would."""
    numbers = count()
    folder = data / "environments"
    remover = Remover(folder, bytecode=data / "bytecode", trash=lambda: tmp_path / f"trash-{next(numbers)}")
    return [found.id for found in stored_environments(folder) if remover.remove(found)]


def zygotes_of(prefix):
    """List the zygotes of an environment."""
    return [pid for pid in zygotes(Path(prefix).parents[1]) if spec_of(pid).get("environment") == prefix]


async def test_over_its_number_the_least_recently_used_goes(data, make_runner, write_plugin, wheels, until):
    """The next call creates it again."""
    runner = make_runner(bounds=CacheBounds(count=2, spare_newest=True))
    plugins = [write_plugin(ACT, requirements=name) for name in ("red", "green", "blue")]
    for name in ("red", "green", "blue"):
        wheels.write(name, {name: ""})
    red, green = [await plugin.run(runner) for plugin in plugins[:2]]
    age(green)
    blue = await plugins[2].run(runner)
    await until(lambda: there(data) == {red, blue})
    await until(lambda: not zygotes_of(green))
    age(red)
    assert await plugins[1].run(runner) == green
    assert plugins[1].heard.log.count(b"+ green==1.0") == 2
    await until(lambda: there(data) == {green, blue})


async def test_over_its_size_the_least_recently_used_goes(data, make_runner, write_plugin, wheels, until):
    """Each has more than a megabyte; one that exceeds the limit alone stays while it is the newest."""
    runner = make_runner(bounds=CacheBounds(size=2_500_000, spare_newest=True))
    for name in ("red", "green", "blue"):
        wheels.write(name, {name: "#" * 1_000_000})
    wheels.write("huge", {"huge": "#" * 3_000_000})
    made = [await write_plugin(ACT, requirements=name).run(runner) for name in ("red", "green")]
    age(made[0])
    assert there(data) == set(made)
    blue = await write_plugin(ACT, requirements="blue").run(runner)
    await until(lambda: there(data) == {made[1], blue})
    huge = await write_plugin(ACT, requirements="huge").run(runner)
    await until(lambda: there(data) == {huge})


async def test_one_in_use_is_never_removed(data, make_runner, write_plugin, wheels, until, tmp_path):
    """Neither the agent nor another process removes it, whatever its age; later imports still work."""
    for name in ("late", "green", "blue"):
        wheels.write(name, {name: f"WORD = '{name}'\n"})
    runner = make_runner(bounds=CacheBounds(count=1, spare_newest=True))
    plugin = write_plugin(WAIT, requirements="late")
    started, go = tmp_path / "started", tmp_path / "go"
    running = asyncio.ensure_future(plugin.run(runner, {"started": str(started), "go": str(go)}))
    await until(started.exists)
    (used,) = there(data)
    age(used)
    green = await write_plugin(ACT, requirements="green").run(runner)
    blue = await write_plugin(ACT, requirements="blue").run(runner)
    await until(lambda: green not in there(data))
    assert prune(data, tmp_path) == [Path(blue).name]
    assert there(data) == {used}
    go.touch()
    assert await running == "late"
    assert prune(data, tmp_path) == [Path(used).name]


async def test_one_that_others_removed_is_made_again(data, make_runner, write_plugin, wheels, until, tmp_path):
    """Its zygote ends, and its bytecode is removed."""
    wheels.write("red", {"red": ""})
    runner = make_runner()
    plugin = write_plugin("import red, sys\n\ndef act():\n    return sys.prefix\n", requirements="red")
    prefix = await plugin.run(runner)
    (zygote,) = zygotes_of(prefix)
    bytecode = data / "bytecode" / Path(prefix).relative_to("/")
    await until(lambda: list(bytecode.rglob("red*.pyc")))
    assert prune(data, tmp_path) == [Path(prefix).name]
    assert not bytecode.exists()
    assert await plugin.run(runner) == prefix
    assert plugin.heard.log.count(b"+ red==1.0") == 2
    await until(lambda: not is_alive(zygote))


async def test_use_is_written_down_for_the_next_agent(data, make_runner, write_plugin):
    """The next agent reads the time of the last use."""
    plugin = write_plugin(ACT)
    runner = make_runner()
    prefix = await plugin.run(runner)
    await runner.close()
    age(prefix)
    assert stored_environments(data / "environments")[0].last_used == 1000
    await plugin.run(make_runner())
    assert stored_environments(data / "environments")[0].last_used > 1000


async def test_an_environment_of_an_older_agent_is_used_and_bounded(data, make_runner, write_plugin, wheels, until):
    """Its content is not recorded; it is still found by its name."""
    wheels.write("red", {"red": ""})
    wheels.write("blue", {"blue": ""})
    runner = make_runner()
    plugin = write_plugin(ACT, requirements="red")
    prefix = await plugin.run(runner)
    await runner.close()
    make_older(prefix)
    runner = make_runner(bounds=CacheBounds(count=1, spare_newest=True))
    assert await plugin.run(runner) == prefix
    assert plugin.heard.log.count(b"+ red==1.0") == 1
    blue = await write_plugin(ACT, requirements="blue").run(runner)
    await until(lambda: there(data) == {blue})


async def test_requirements_that_mean_the_same_share_an_environment(data, make_runner, write_plugin, wheels):
    """Order, case, spacing and repetition don't matter, nor whether the plugin or the call has them."""
    wheels.write("red-ink", {"red": ""})
    wheels.write("blue", {"blue": ""})
    runner = make_runner()
    lists = [
        ("Red_Ink [B_x, a.C] >= 0.5, < 2\nblue", ()),
        ("blue\nred-ink[a-c,b-x]<2,>=0.5\nBLUE", ()),
        ("# inks\nblue", ("red.ink[A_C,b.X]>=0.5,<2",)),
        ("", ("blue", "red-ink[a-c,b-x]>=0.5,<2", "Blue")),
    ]
    prefixes = [await write_plugin(ACT, requirements=own).run(runner, requirements=more) for own, more in lists]
    assert set(prefixes) == there(data)
    assert len(there(data)) == 1


async def test_commands_of_packages_are_those_of_the_environment(make_runner, write_plugin, wheels):
    """Environments are created in another folder, and two of them one after the other in the same."""
    source = """
        import subprocess, sys

        def act(name):
            said = subprocess.run([name], capture_output=True, text=True, check=True).stdout
            return [said.strip(), sys.prefix]
        """
    runner = make_runner()
    for name in ("red", "blue"):
        wheels.write(name, {name: "import sys\n\ndef say():\n    print(sys.prefix)\n"}, script=f"{name}:say")
        said, prefix = await write_plugin(source, requirements=name).run(runner, {"name": name})
        assert said == prefix


async def test_a_python_that_is_gone_is_not_used_any_more(data, make_runner, write_plugin, tmp_path):
    """The next Python is used at once, even if an environment and a zygote of the old one exist."""
    python = copy_of_python(tmp_path / "python3.11")
    runner = make_runner(pythons=[python])
    plugin = write_plugin("import sys\n\ndef act():\n    return [sys.prefix, sys._base_executable]\n")
    first, base = await plugin.run(runner)
    assert base == str(python)
    remove(tmp_path, "python3.11")
    second, base = await plugin.run(runner)
    assert base == str(BASE)
    assert there(data) == {first, second}
    usable = {found.id: found.usable for found in stored_environments(data / "environments")}
    assert usable == {Path(first).name: False, Path(second).name: True}


async def test_a_python_that_was_replaced_gets_a_new_process(make_runner, write_plugin, until, tmp_path):
    """A security update does that: the environment stays, the zygote is replaced."""
    python = copy_of_python(tmp_path / "python3.11")
    runner = make_runner(pythons=[python])
    plugin = write_plugin(ACT)
    prefix = await plugin.run(runner)
    (zygote,) = zygotes_of(prefix)
    replace(python, copy_of_python(tmp_path / "update"))
    assert await plugin.run(runner) == prefix
    await until(lambda: not is_alive(zygote))


async def test_a_python_that_is_replaced_leaves_its_runs_alone(make_runner, write_plugin, until, tmp_path):
    """They end normally, and only then the zygote that they were forked from."""
    python = copy_of_python(tmp_path / "python3.11")
    runner = make_runner(pythons=[python])
    plugin = write_plugin(WAIT.replace("import late\n    return late.WORD", "return sys.prefix"))
    started, go = tmp_path / "started", tmp_path / "go"
    running = asyncio.ensure_future(plugin.run(runner, {"started": str(started), "go": str(go)}))
    await until(started.exists)
    replace(python, copy_of_python(tmp_path / "update"))
    other = write_plugin(ACT)
    prefix = await other.run(runner)
    old_and_new = zygotes_of(prefix)
    assert len(old_and_new) == 2
    go.touch()
    assert await running == prefix
    await until(lambda: sum(map(is_alive, old_and_new)) == 1)


async def test_an_environment_without_its_python_is_made_anew(data, make_runner, write_plugin, wheels):
    """It does not matter what removed the Python."""
    wheels.write("red", {"red": ""})
    runner = make_runner()
    plugin = write_plugin(ACT, requirements="red")
    prefix = await plugin.run(runner)
    remove(prefix, "bin/python")
    age(prefix)
    assert await plugin.run(runner) == prefix
    assert there(data) == {prefix}
    assert stored_environments(data / "environments")[0].last_used > 1000
    assert plugin.heard.log.count(b"+ red==1.0") == 2


@pytest.fixture
async def environments(data, wheels):
    """Yield environments without a runner."""
    scratch = Scratch(data / "scratch")
    zygotes = ZygotePool(scratch, limit=2)
    environments = make_environments(data, scratch, installer(zygotes, data, wheels))
    yield environments
    await environments.close()
    await zygotes.close()
    scratch.close()


def installer(zygotes, data, wheels):
    commands = Commands(zygotes, folder=data, sandbox=OFF)
    return Installer(commands, spare_cache=data / "uv-cache", environ=wheels.environ)


def make_environments(data, scratch, installer):
    return Environments(
        data / "environments",
        bytecode=data / "bytecode",
        interpreters=Interpreters(),
        installer=installer,
        scratch=scratch,
        bounds=CacheBounds(),
        on_lost=lambda _: None,
    )


SYSTEM = ("posix", "fcntl", "_io", "_socket")


async def test_an_environment_that_is_there_costs_one_look_at_the_disk(environments, wheels):
    """It costs one `stat` between locking and unlocking an open file, and no wait."""
    wheels.write("red", {"red": ""})
    options = {"requires_python": ">=3.8", "on_output": lambda _: None}
    async with environments.use(["red"], **options):
        pass
    calls = []

    def note(frame, event, function):  # noqa: ARG001 - as `sys.setprofile` has it
        if event == "c_call" and function.__module__ in SYSTEM and function is not os.fspath:
            calls.append(function.__name__)

    use = environments.use(["red"], **options)
    entering, leaving = use.__aenter__(), use.__aexit__(None, None, None)
    sys.setprofile(note)
    try:
        entered = finish_at_once(entering)
        calls.append("(the run)")
        finish_at_once(leaving)
    finally:
        sys.setprofile(None)
    assert entered.python.exists()
    assert calls == ["fcntl", "fstat", "stat", "(the run)", "fcntl"]


def finish_at_once(coroutine):
    """Run a coroutine that must end without waiting."""
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    return ended.value.value


async def test_a_full_disk_is_reported(data):
    """The answer is 503, not an error about requirements, and nothing is left."""

    class FullDisk:
        async def make(self, folder, **_):
            folder.mkdir()
            raise InstallFailed("error: failed to create file: No space left on device (os error 28)", timed_out=False)

    scratch = Scratch(data / "scratch")
    environments = make_environments(data, scratch, FullDisk())
    with pytest.raises(Problem, match="disk is full") as caught:
        async with environments.use([], requires_python=None, on_output=lambda _: None):
            pass
    await environments.close()
    assert caught.value.status == 503
    assert list(scratch.folder.iterdir()) == []
    scratch.close()
    assert there(data) == set()
