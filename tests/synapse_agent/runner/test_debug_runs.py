"""Debug runs: their zygotes are kept ready like those of releases, and their code is read each time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.sandbox import OFF, SandboxPolicy, probed

pytestmark = pytest.mark.anyio

KERNELS = probed(wanted=True)
WITHOUT_NAMESPACES = SandboxPolicy(KERNELS.status, KERNELS.landlock_abi)


@pytest.fixture(params=[KERNELS, WITHOUT_NAMESPACES, OFF], ids=["namespaces", "landlock", "off"])
async def debugging(request, tmp_path: Path) -> AsyncIterator[LocalRunner]:
    """Return a runner with each sandbox that this machine offers."""
    runner = LocalRunner(tmp_path / "data", sandbox=request.param)
    yield runner
    await runner.close()


async def test_debug_runs_share_a_process_and_no_code(debugging, write_plugin):
    """An environment has one zygote for all of them; each run sees only its own source."""
    plugins = [
        write_plugin(
            f"""
            import os, plugin
            from pathlib import Path

            def act():
                here = Path(__file__).parents[1]
                others = [each.name for each in here.parent.iterdir() if each.name.startswith("plugin-")]
                return [{number}, os.getcwd() == str(here), Path("data.txt").read_text(), os.getppid(), others]
            """
        )
        for number in range(3)
    ]
    for number, plugin in enumerate(plugins):
        (plugin.folder / "data.txt").write_text(str(number))
    runs = await asyncio.gather(*(plugin.run(debugging, release=None) for plugin in plugins * 2))
    assert [run[:3] for run in runs] == [[number, True, str(number)] for number in range(3)] * 2
    assert debugging.kept()["processes"] == 1
    if debugging.sandbox is KERNELS:
        assert [run[4] for run in runs] == [[]] * 6


async def test_a_debug_run_sees_its_source_as_it_is_now(debugging, write_plugin):
    """This covers changed and new modules."""
    plugin = write_plugin("def act():\n    return 1\n")
    assert await plugin.run(debugging, release=None) == 1
    (plugin.folder / "plugin" / "main.py").write_text("import more\ndef act():\n    return more.VALUE\n")
    (plugin.folder / "more.py").write_text("VALUE = 2\n")
    assert await plugin.run(debugging, release=None) == 2


async def test_files_are_named_as_the_caller_knows_them(debugging, write_plugin):
    """Names in messages and tracebacks are relative to the source."""
    plugin = write_plugin("def act():\n    raise ValueError(__file__)\n")
    problem = await plugin.problem(debugging, release=None)
    assert problem.extra["exception_message"] == str(plugin.folder / "plugin" / "main.py")
    assert 'File "plugin/main.py", line 2, in act' in problem.extra["traceback"]


async def test_installed_packages_are_imported_ahead_of_debug_runs(tmp_path, wheels, write_plugin):
    """These are packages that a run imported, or that the config names, and never the plugin's own modules."""
    slow = "import os, time\ntime.sleep(0.05)\nprocess = os.getpid()\n"
    wheels.write("lxml", {"lxml/__init__": slow})
    wheels.write("named", {"named": slow})
    source = """
        import os
        import lxml, named, plugin.more

        def act():
            return [each.process == os.getpid() for each in (lxml, named, plugin.more)]
        """
    plugin = write_plugin(source, requirements="lxml\nnamed", preload=["named", "plugin.more"])
    (plugin.folder / "plugin" / "more.py").write_text(slow)
    runner = LocalRunner(tmp_path / "data", environ=wheels.environ, sandbox=KERNELS)
    try:
        assert await plugin.run(runner, release=None) == [True, False, True]
        async with asyncio.timeout(20):
            while (now := await plugin.run(runner, release=None)) == [True, False, True]:
                pass
        assert now == [False, False, True]
    finally:
        await runner.close()
