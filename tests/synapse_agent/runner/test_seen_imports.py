"""Modules that the agent imports ahead of runs after one run has imported them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.import_report import NO_REPORT, ImportReport, read_report
from synapse_agent.runner.processes.lasting_keepers import LastingKeepers
from synapse_agent.runner.processes.seen_imports import SeenImports
from synapse_agent.runner.synapse_worker import protocol

SLOW = "import os, time\ntime.sleep(0.05)\nprocess = os.getpid()\n"
SOURCE = """
    import os
    import {package}, plugin.more
    own = os.getpid()

    def act():
        return [{package}.process == os.getpid(), own == os.getpid(), plugin.more.process == os.getpid()]
    """


@pytest.fixture
def slow_package(wheels, write_plugin) -> Callable[..., object]:
    """Return a function that writes a plugin which imports a slow package with this name."""

    def write(package: str, **config: object) -> object:
        wheels.write(package, {f"{package}/__init__": SLOW})
        plugin = write_plugin(SOURCE.format(package=package), requirements=package, **config)
        (plugin.folder / "plugin" / "more.py").write_text(SLOW)
        return plugin

    return write


async def run_until_imported_ahead(plugin, runner: LocalRunner) -> None:
    end = time.monotonic() + 20
    while await plugin.run(runner) != [False, True, True]:
        assert time.monotonic() < end


@pytest.mark.anyio
async def test_a_package_on_the_list_is_imported_ahead_once_a_run_has(tmp_path, wheels, slow_package):
    """The plugin's own modules are not. Meanwhile runs continue as before; the next agent knows it, too."""
    plugin = slow_package("lxml")
    runner = LocalRunner(tmp_path / "data", environ=wheels.environ)
    try:
        assert await plugin.run(runner) == [True, True, True]
        await run_until_imported_ahead(plugin, runner)
        assert runner.kept()["processes"] == 1
        assert runner.kept()["memory"] > 1e6
    finally:
        await runner.close()
    runner = LocalRunner(tmp_path / "data", environ=wheels.environ)
    try:
        assert await plugin.run(runner) == [False, True, True]
        await runner.forget(plugin.folder)
        assert not list((tmp_path / "data" / "imports").iterdir())
    finally:
        await runner.close()


@pytest.mark.anyio
async def test_the_imports_of_jobs_that_outlive_the_agent_are_seen_too(tmp_path, wheels, slow_package):
    """Their keepers pass the reports on."""
    plugin = slow_package("lxml", actions={"act": {"entrypoint": "plugin.main:act", "method": "job"}})
    lasting = LastingKeepers(tmp_path / "data" / "keepers", orphan_limit=60.0)
    runner = LocalRunner(tmp_path / "data", environ=wheels.environ, lasting_runs=lasting)
    try:
        assert await plugin.run(runner) == [True, True, True]
        await run_until_imported_ahead(plugin, runner)
    finally:
        await runner.close()


@pytest.mark.anyio
@pytest.mark.parametrize(("package", "preload"), [("unlisted", "auto"), ("lxml", False)])
async def test_other_packages_are_left_to_runs(tmp_path, wheels, slow_package, package, preload):
    """Other packages may not survive a fork; a plugin can refuse it for all."""
    plugin = slow_package(package, preload=preload)
    runner = LocalRunner(tmp_path / "data", environ=wheels.environ)
    try:
        assert [await plugin.run(runner) for _ in range(3)] == [[True, True, True]] * 3
        assert not list((tmp_path / "data" / "imports").iterdir())
    finally:
        await runner.close()


@pytest.mark.anyio
async def test_a_plugin_s_own_module_is_never_taken_for_a_package(runner, write_plugin):
    """Each run imports such a module, even if it is named like a package on the list."""
    plugin = write_plugin("import lxml, os\ndef act():\n    return lxml.process == os.getpid()\n")
    (plugin.folder / "lxml").mkdir()
    (plugin.folder / "lxml" / "__init__.py").write_text(SLOW)
    assert [await plugin.run(runner) for _ in range(3)] == [True, True, True]


@pytest.mark.anyio
async def test_a_release_is_warm_with_its_imports(tmp_path, wheels, slow_package):
    """Preparing it imports its modules once to find their imports, and calls nothing."""
    plugin = slow_package("lxml")
    runner = LocalRunner(tmp_path / "data", environ=wheels.environ)
    try:
        assert await plugin.run(runner, warms=True) is None
        assert await plugin.run(runner) == [False, True, True]
    finally:
        await runner.close()


@pytest.mark.anyio
async def test_imports_that_take_too_much_memory_are_left_to_runs(tmp_path, write_plugin, caplog):
    """Their zygote ends, and the agent logs the reason once."""
    plugin = write_plugin("import os\nbig, process = bytearray(80 << 20), os.getpid()\n" + ACT, preload=True)
    small = write_plugin("import os\nprocess = os.getpid()\n" + ACT, preload=True)
    runner = LocalRunner(tmp_path / "data", max_warm_memory=60 << 20)
    try:
        first = await plugin.run(runner)
        assert not first
        assert [await plugin.run(runner) for _ in range(2)] == [True, True]
        assert await small.run(runner) is False
        assert runner.kept()["memory"] < 60 << 20
    finally:
        await runner.close()
    assert caplog.text.count("more than --max-warm-memory") == 1


ACT = "def act():\n    return process == os.getpid()\n"


@pytest.mark.anyio
async def test_memory_of_idle_processes_is_bounded(tmp_path, write_plugin):
    """The least recently used ones end first."""
    source = "import os\nbig, process = bytearray(30 << 20), os.getpid()\n" + ACT
    plugins = [write_plugin(source, preload=True) for _ in range(4)]
    runner = LocalRunner(tmp_path / "data", max_warm_memory=100 << 20)
    try:
        for plugin in plugins:
            await plugin.run(runner)
        assert runner.kept()["memory"] <= 100 << 20
        assert 1 <= runner.kept()["processes"] <= 2
        assert [await plugin.run(runner) for plugin in reversed(plugins)] == [False] * 4
    finally:
        await runner.close()


def test_the_memory_is_in_the_agent_s_health(tmp_path: Path) -> None:
    """It has the limit, too."""
    with EmbeddedAgent(data_dir=tmp_path / "data", max_warm_memory=2**28) as agent, agent.client() as client:
        assert client.health_check()["warm"] == {"processes": 0, "memory": 0, "max_memory": 2**28}


def report(seconds: float, **modules: float) -> ImportReport:
    return ImportReport(seconds, seconds, {name.replace("_", "."): each for name, each in modules.items()})


def test_only_what_is_installed_and_worth_it_is_believed(tmp_path: Path) -> None:
    """A forged report can't make the agent import anything else."""
    environment = tmp_path / "environment"
    (environment / "lib/python3.11/site-packages/numpy").mkdir(parents=True)
    seen = SeenImports(tmp_path / "imports")
    seen.add(tmp_path, environment, report(9.0, pandas=4.0, antigravity=4.0, os=1.0))
    seen.add(tmp_path, environment, report(0.02, numpy=0.01, numpy_random=0.009))
    assert seen.modules(tmp_path, environment) == ()
    seen.add(tmp_path, environment, report(0.03, numpy=0.02, numpy_random=0.009, pandas=5.0))
    assert seen.modules(tmp_path, environment) == ("numpy", "numpy.random")
    seen.add(tmp_path, environment, report(0.03, asyncio=0.02))
    assert SeenImports(tmp_path / "imports").modules(tmp_path, environment) == ("asyncio", "numpy", "numpy.random")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        protocol.IMPORT_TIMES.pack(float("nan"), 0),
        protocol.IMPORT_TIMES.pack(-1, 0),
        protocol.IMPORT_TIMES.pack(1e9, 0),
        protocol.IMPORT_TIMES.pack(1, 1) + b"../numpy 1.0",
        protocol.IMPORT_TIMES.pack(1, 1) + b"numpy many",
        protocol.IMPORT_TIMES.pack(1, 1) + b"numpy inf",
        protocol.IMPORT_TIMES.pack(1, 1) + b"\xff 1.0",
    ],
)
def test_a_report_of_another_form_is_ignored(payload: bytes) -> None:
    """The agent ignores it."""
    assert read_report(payload) == NO_REPORT


def test_a_damaged_file_is_ignored(tmp_path: Path) -> None:
    """The next run reports its imports again."""
    seen = SeenImports(tmp_path / "imports")
    environment = tmp_path / "environment"
    seen.add(tmp_path, environment, report(1.0, asyncio=1.0))
    (path,) = (tmp_path / "imports").iterdir()
    for text in ("", json.dumps({"a": 1}), json.dumps([1])):
        path.write_text(text)
        assert SeenImports(tmp_path / "imports").modules(tmp_path, environment) == ()
