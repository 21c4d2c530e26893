"""Compiled code: the agent writes it, runs read it, and it is removed with its source."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from synapse_agent.runner.environments import bytecode
from synapse_agent.runner.environments.interpreters import Interpreters
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.execution import ProcessExit
from synapse_agent.runner.processes.sandbox import probed
from synapse_agent.runner.synapse_worker import bytecode as script

pytestmark = pytest.mark.anyio

needs_landlock = pytest.mark.skipif(probed(wanted=True).status != "active", reason="this kernel has no Landlock")

ACT = """
    import os
    import red

    def act():
        from plugin import later
        cached = [os.path.exists(module.__cached__) for module in (red, later)]
        return [cached, red.__cached__, later.VALUE]
    """
POISONS = """
    import os, red
    from pathlib import Path

    def act():
        outcomes = []
        for path in (Path(red.__cached__), Path(red.__cached__).with_name("new.pyc"), Path(red.__file__)):
            for change in (lambda: path.write_bytes(b"x"), path.unlink, lambda: path.rename(path.with_name("other"))):
                try:
                    change()
                    outcomes.append("done")
                except OSError as error:
                    outcomes.append(error.strerror)
        return outcomes
    """


@pytest.fixture
def quick(monkeypatch):
    """Compile the rest of an environment at once."""
    monkeypatch.setattr(bytecode, "_REST_SECONDS", 0.0)
    monkeypatch.setattr(bytecode, "_PAUSE_SECONDS", 0.0)


@pytest.fixture
async def make_runner(tmp_path, wheels):
    """Return a function that makes runners of one data folder, sandboxed if the kernel can."""
    wheels.write("red", {"red": "VALUE = 1\n", "unused": "VALUE = 2\n", "broken": "def (:\n"})
    runners = []

    def make(**options):
        runners.append(LocalRunner(tmp_path / "data", environ=wheels.environ, sandbox=probed(wanted=True), **options))
        return runners[-1]

    yield make
    for runner in runners:
        await runner.close()


def write(write_plugin, source=ACT, value=1, **options):
    """Write a plugin with a module that is imported late."""
    plugin = write_plugin(source, requirements="red", **options)
    (plugin.folder / "plugin" / "later.py").write_text(f"VALUE = {value}\n")
    return plugin


def compiled(tmp_path, below="data"):
    """List the modules with sources below a folder that have compiled code."""
    place = tmp_path / "data" / "bytecode" / (tmp_path / below).relative_to("/")
    return {path.name.partition(".")[0] for path in place.rglob("*.pyc")}


async def test_what_one_run_had_to_compile_the_next_ones_read(make_runner, write_plugin, until, tmp_path):
    """This includes runs of other releases in the environment."""
    runner = make_runner()
    first, second = write(write_plugin), write(write_plugin)
    assert (await first.run(runner))[0] == [False, False]
    await until(lambda: "red" in compiled(tmp_path) and "later" in compiled(tmp_path, "plugin-1"))
    assert (await first.run(runner))[0] == [True, True]
    assert (await second.run(runner))[0] == [True, False]


@pytest.mark.usefixtures("quick")
async def test_the_rest_of_environment_and_release_is_compiled_as_well(make_runner, write_plugin, until, tmp_path):
    """Other Pythons that actions start use it; a module that can't be compiled does not stop the rest."""
    runner = make_runner()
    plugin = write(write_plugin)
    (plugin.folder / "plugin" / "aside.py").touch()
    await plugin.run(runner)
    await until(lambda: compiled(tmp_path) >= {"red", "unused"} and "aside" in compiled(tmp_path, "plugin-1"))
    assert "broken" not in compiled(tmp_path)


async def test_modules_that_are_reported_shortly_one_after_the_other_share_a_process(tmp_path, until):
    """An agent that ends before that starts none."""

    class Noting:
        def __init__(self):
            self.compiled = []

        async def run(self, _command, *, stdin, **_options):
            self.compiled.append(stdin.split(b"\0"))
            return ProcessExit(0, None, None, timed_out=False)

    commands = Noting()
    compiler = bytecode.BytecodeCompiler(tmp_path / "bytecode", commands)
    compiler.begin(tmp_path, None)
    compiler.told(tmp_path, b"/first.py")
    await asyncio.sleep(0.1)
    compiler.told(tmp_path, b"/second.py")
    assert commands.compiled == []
    await until(lambda: commands.compiled)
    await compiler.close()
    assert commands.compiled == [[b"/first.py", b"/second.py"]]


async def test_every_python_reads_what_its_own_wrote(make_runner, write_plugin, until):
    """Pythons share a folder, but no file."""
    for python in await Interpreters().all():
        runner = make_runner(pythons=[python.path])
        plugin = write(write_plugin, requires={"python": f"=={python.version}"})
        _, cached, _ = await plugin.run(runner)
        await until(Path(cached).exists)
        assert (await plugin.run(runner))[0][0]


async def test_changed_sources_are_compiled_anew(make_runner, write_plugin, until, tmp_path):
    """The head of compiled code identifies its source."""
    runner = make_runner()
    plugin = write(write_plugin)
    later = plugin.folder / "plugin" / "later.py"
    for value in (1, 22):
        later.write_text(f"VALUE = {value}\n")
        assert (await plugin.run(runner))[2] == value
        await until(lambda: "later" in compiled(tmp_path, "plugin-1"))


@needs_landlock
async def test_no_run_can_change_what_the_next_one_executes(make_runner, write_plugin, until, tmp_path):
    """It can't write compiled code, replace existing code, or change the source."""
    runner = make_runner()
    plugin = write(write_plugin, POISONS)
    await plugin.run(runner)
    await until(lambda: "red" in compiled(tmp_path))
    outcomes = await plugin.run(runner)
    assert len(outcomes) == 9
    refusals = {"Permission denied", "Read-only file system"}  # from Landlock, and from the run's view
    assert set(outcomes) <= {*refusals, "No such file or directory", "Invalid cross-device link"}
    assert sum(outcome in refusals for outcome in outcomes) >= 6


async def test_a_run_writes_no_compiled_code_without_a_sandbox_either(tmp_path, wheels, write_plugin):
    """The same holds for a Python that it starts."""
    wheels.write("red", {"red": ""})
    source = """
        import red, subprocess, sys

        def act():
            subprocess.run([sys.executable, "-c", "import red, wave"], check=True)
        """
    runner = LocalRunner(tmp_path / "data", environ=wheels.environ)
    runner._bytecode.told = lambda *_: None
    await write_plugin(source, requirements="red").run(runner)
    await runner.close()
    assert not list(tmp_path.rglob("red*.pyc"))
    assert not list((tmp_path / "data" / "bytecode").rglob("*.pyc"))


async def test_a_run_has_nothing_compiled_from_elsewhere(make_runner, write_plugin, until, tmp_path):
    """The agent only compiles reported modules of its environment and its release, up to a limit."""
    (tmp_path / "elsewhere.py").touch()
    (tmp_path / "data").mkdir()
    source = """
        import gc, os, red
        import sys
        Reports = sys.modules["<synapse>.synapse_worker.reports"].Reports

        def act(paths):
            reports = next(each for each in gc.get_objects() if isinstance(each, Reports))
            for path in paths:
                reports.uncompiled(path)
        """
    runner = make_runner()
    plugin = write(write_plugin, source)
    inside = plugin.folder / "plugin"
    ways = [f"{inside}/../../elsewhere.py", str(tmp_path / "elsewhere.py"), str(tmp_path), "/", "", "\n", "*"]
    await plugin.run(runner, {"paths": [*ways, f"{inside}/none.py", f"{inside}/later.py"]})
    await until(lambda: "later" in compiled(tmp_path, "plugin-1"))
    assert "elsewhere" not in compiled(tmp_path, ".")


async def test_a_flood_of_modules_is_bounded(make_runner, monkeypatch, tmp_path):
    """Invented module names would otherwise fill the agent's memory."""
    monkeypatch.setattr(bytecode, "_MOST_TOLD", 100)
    runner = make_runner()
    runner._bytecode.begin(tmp_path, None)
    for number in range(1000):
        runner._bytecode.told(tmp_path, b"/x%d" % number)
    assert len(runner._bytecode._works[tmp_path].told) == 100


async def test_a_module_that_breaks_the_compiler_is_not_tried_forever(
    make_runner, write_plugin, until, tmp_path, caplog, monkeypatch
):
    """The environment's runs still work; each compiles what is missing."""
    monkeypatch.setattr(bytecode, "_LIMITS", bytecode.RunLimits(memory=40 * 2**20))
    runner = make_runner()
    plugin = write(write_plugin)
    (plugin.folder / "plugin" / "later.py").write_text("VALUE = 1\nTEXT = [" + "'x', [1], " * 60_000 + "]\n")
    await plugin.run(runner)
    await until(lambda: "Stopped compiling the modules of environment" in caplog.text or "red" in compiled(tmp_path))
    assert (await plugin.run(runner))[2] == 1


async def test_compiled_code_that_nothing_is_left_of_is_removed_at_the_start(
    make_runner, write_plugin, until, tmp_path
):
    """This includes the code of older agents, which runs could write, and of deleted releases."""
    folder = tmp_path / "data" / "bytecode"
    environment = folder / ("3" * 32) / "release"
    gone = folder / (tmp_path / "data" / "releases" / "gone").relative_to("/")
    for place in (environment, gone):
        place.mkdir(parents=True)
        (place / "red.pyc").touch()
    runner = make_runner()
    await write(write_plugin).run(runner)
    await until(lambda: not environment.exists() and not gone.exists())
    await until(lambda: "red" in compiled(tmp_path))


async def test_compiled_code_goes_with_its_release(make_runner, write_plugin, until, tmp_path):
    """The runner removes it with the release."""
    runner = make_runner()
    plugin = write(write_plugin)
    await plugin.run(runner)
    await until(lambda: "later" in compiled(tmp_path, "plugin-1"))
    await runner.forget(plugin.folder)
    assert compiled(tmp_path, "plugin-1") == set()


def test_what_python_has_compiled_of_its_own_is_referred_to(tmp_path):
    """Links take no space, and a Python that an action starts finds the code in its usual folder."""
    library = Path(os.__file__).parent
    outdated = tmp_path / library.relative_to("/") / f"csv.{sys.implementation.cache_tag}.pyc"
    outdated.parent.mkdir(parents=True)
    outdated.touch()
    command = [sys.executable, "-I", "-S", script.__file__, str(tmp_path)]
    subprocess.run(command, input=b"*\0", check=True)
    found = list((tmp_path / library.relative_to("/")).rglob("*.pyc"))
    assert all(path.is_symlink() for path in found)
    own = {path.name for path in library.glob(f"__pycache__/*.{sys.implementation.cache_tag}.pyc")}
    assert len(own - {path.name for path in found}) < len(own) / 10 + 1  # some may be out of date


@pytest.mark.usefixtures("quick")
async def test_an_environment_that_is_removed_while_it_is_compiled_is_no_problem(
    make_runner, write_plugin, until, caplog
):
    """The compiler can't start its Python, which is expected."""
    runner = make_runner()
    await write(write_plugin).run(runner)
    compiler = runner._bytecode
    (work,) = compiler._works.values()
    shutil.rmtree(work.folder)
    work.rest.append(work.folder / "lib")
    work.has_library = True
    compiler._changed.set()
    await until(lambda: work.has_failed)
    assert "Stopped compiling" not in caplog.text
