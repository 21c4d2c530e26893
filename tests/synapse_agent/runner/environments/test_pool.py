"""Environments that uv creates, with packages from the index that this machine uses."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import tarfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
from keepers import keepers, spec_of

from synapse_agent.problems import Problem
from synapse_agent.runner.environments import pool
from synapse_agent.runner.environments.interpreters import Interpreters
from synapse_agent.runner.environments.store import lock_path
from synapse_agent.runner.local import LocalRunner
from synapse_agent.storage.locks import locked_for_removal

pytestmark = pytest.mark.anyio

ACT = """
    import sys
    from importlib import metadata

    def act():
        names = sorted(d.metadata["Name"] for d in metadata.distributions())
        return {"has": names, "python": sys.version.split()[0], "prefix": sys.prefix}
    """


@pytest.fixture
async def fresh(tmp_path):
    """Yield a runner with its own data folder, without environments."""
    runner = LocalRunner(tmp_path / "data")
    yield runner
    await runner.close()


def environments(tmp_path):
    """List the folder of environments."""
    return sorted(path.name for path in (tmp_path / "data" / "environments").iterdir())


async def test_without_requirements_the_environment_is_empty(fresh, write_plugin):
    """It is a separate virtual environment, without the agent's packages."""
    found = await write_plugin(ACT).run(fresh)
    assert found["has"] == []
    assert Path(found["prefix"]) != Path(sys.prefix)


async def test_requirements_of_plugin_and_call_are_there(fresh, write_plugin, tmp_path):
    """The environment has those of `requirements.txt` and of the call; without the call's it is another one."""
    plugin = write_plugin(ACT, requirements="# what it needs\nsix>=1.16  # a small one\n\n")
    assert (await plugin.run(fresh, requirements=("idna>=3",)))["has"] == ["idna", "six"]
    assert (await plugin.run(fresh))["has"] == ["six"]
    assert len(environments(tmp_path)) == 2


async def test_the_installers_output_is_in_the_log(fresh, write_plugin):
    """A caller that waits for an installation can see what it does."""
    plugin = write_plugin(ACT, requirements="six\n")
    await plugin.run(fresh)
    assert plugin.heard.log.startswith(b"Making an environment with 1 requirement. Later runs reuse it.\n")
    assert b"+ six==" in plugin.heard.log
    await plugin.run(fresh)
    assert plugin.heard.log.count(b"Making an environment") == 1


async def test_ten_callers_make_one_environment(fresh, write_plugin, tmp_path):
    """The first one creates it, the others wait for it and get the installer's output."""
    plugins = [write_plugin(ACT, requirements=text) for text in ("six\nidna\n", "idna\nsix") for _ in range(5)]
    found = await asyncio.gather(*(plugin.run(fresh) for plugin in plugins))
    assert len({result["prefix"] for result in found}) == len(environments(tmp_path)) == 1
    assert all(plugin.heard.log.count(b"+ six==") == 1 for plugin in plugins)


async def test_two_agents_that_share_a_folder_make_one_environment(tmp_path, write_plugin):
    """The second one waits for the first, although it is another runner."""
    runners = [LocalRunner(tmp_path / "data") for _ in range(2)]
    plugins = [write_plugin(ACT, requirements="six") for _ in runners]
    found = await asyncio.gather(*(plugin.run(runner) for plugin, runner in zip(plugins, runners, strict=True)))
    for runner in runners:
        await runner.close()
    assert found[0]["prefix"] == found[1]["prefix"]
    assert sum(b"+ six==" in plugin.heard.log for plugin in plugins) == 1
    assert len(environments(tmp_path)) == 1


async def test_two_processes_that_share_a_folder_make_one_environment(slow, start_agent, write_plugin, tmp_path):
    """The second one waits for the installer of the first one."""
    plugin = write_plugin(ACT, requirements=slow.requirement)
    agents = [start_agent(plugin, tmp_path / "data", {}, env=slow.environ, stdout=subprocess.PIPE) for _ in range(2)]
    await slow.builder()
    await slow.until(lambda: len(list((tmp_path / "data" / "scratch").iterdir())) == 2)
    await asyncio.sleep(0.4)  # time for the second one to start its own installation, if it did
    assert len(list((tmp_path / "data" / "scratch").glob("*/*/*/pyvenv.cfg"))) == 1
    slow.hurry()
    logs = [agent.communicate(timeout=20)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0]
    assert sum(log.count(b"+ slow-package-for-a-test==1.0") for log in logs) == 1
    assert len(environments(tmp_path)) == 1


async def test_waiting_for_the_lock_of_an_environment_has_an_end(fresh, write_plugin, monkeypatch):
    """Another program may hold it: the answer is 503 with the file and the process, and the next run works."""
    monkeypatch.setattr(pool, "_TAKE_SECONDS", 0.1)
    plugin = write_plugin(ACT)
    folder = Path((await plugin.run(fresh))["prefix"])
    with locked_for_removal(lock_path(folder)):
        problem = await plugin.problem(fresh)
    assert (problem.status, problem.error_type) == (503, "unavailable")
    assert f"{folder.name}" in problem.message
    assert (await plugin.run(fresh))["prefix"] == str(folder)


@pytest.mark.parametrize(
    ("requirements", "said"),
    [
        ("no-such-package-as-this-one", "no-such-package-as-this-one was not found in the package registry"),
        ("idna>=3\nidna<3", "your requirements are unsatisfiable"),
    ],
)
async def test_a_failed_install_leaves_nothing_and_reports_why(fresh, write_plugin, tmp_path, requirements, said):
    """The answer is 422 with the installer's output; no environment, draft or lock stays, only the keeper's folder."""
    plugin = write_plugin(ACT, requirements=requirements)
    problem = await plugin.problem(fresh)
    assert (problem.status, problem.error_type) == (422, "requirements_failed")
    assert said in " ".join(problem.extra["installer_output"].split())
    assert environments(tmp_path) == []
    (keeper,) = keepers(tmp_path / "data")
    assert list((tmp_path / "data" / "scratch").glob("*/*")) == [Path(spec_of(keeper)["place"])]
    assert plugin.heard.starts == 0


async def test_a_failed_install_is_tried_again_by_the_next_call(tmp_path, wheels, write_plugin):
    """Once the cause is removed, the same run works."""
    runner = LocalRunner(tmp_path / "data", environ=wheels.environ)
    plugin = write_plugin("import tiny\n\ndef act():\n    return tiny.NUMBER\n", requirements="tiny-package-for-a-test")
    assert (await plugin.problem(runner)).error_type == "requirements_failed"
    wheels.write("tiny-package-for-a-test", {"tiny": "NUMBER = 7\n"})
    assert await plugin.run(runner) == 7
    await runner.close()


async def test_the_next_python_is_tried_if_a_requirement_refuses_one(tmp_path, wheels, write_plugin):
    """The plugin allows all Pythons; its requirement decides, and each Python is tried once."""
    pythons = await Interpreters().all()
    minors = sorted({tuple(map(int, python.version.split(".")[:2])) for python in pythons})
    if len(minors) < 2:
        pytest.skip("this machine has one Python only")
    newest = ".".join(map(str, minors[-1]))
    wheels.write("picky-package-for-a-test", {}, requires_python=f">={newest}")
    oldest = next(python.path for python in pythons if python.version.startswith(".".join(map(str, minors[0])) + "."))
    runner = LocalRunner(tmp_path / "data", environ=wheels.environ, pythons=[oldest])
    plugin = write_plugin(ACT, requirements="picky-package-for-a-test")
    found = [await plugin.run(runner) for _ in range(2)]
    await runner.close()
    assert all(result["python"].startswith(f"{newest}.") for result in found)
    assert len(environments(tmp_path)) == 1


async def test_a_python_refused_to_one_plugin_is_tried_for_the_next(tmp_path, wheels, write_plugin):
    """It may be the only one that fits: the plugin gets its environment, or the installer's output."""
    pythons = await Interpreters().all()
    minors = sorted({tuple(map(int, python.version.split(".")[:2])) for python in pythons})
    if len(minors) < 2:
        pytest.skip("this machine has one Python only")
    newest, lowest = (".".join(map(str, minors[end])) for end in (-1, 0))
    name = "picky-package-for-a-test"
    wheels.write(name, {}, requires_python=f">={newest}")
    oldest = next(python.path for python in pythons if python.version.startswith(f"{lowest}."))
    runner = LocalRunner(tmp_path / "data", environ=wheels.environ, pythons=[oldest])
    await write_plugin(ACT, requirements=name).run(runner)
    bound = write_plugin(ACT, requirements=name, requires={"python": f"=={lowest}.*"})
    problem = await bound.problem(runner)
    assert problem.error_type == "requirements_failed"
    assert f"requires Python >={newest}" in problem.message.replace("Python>=", "requires Python >=")
    wheels.write(name, {}, requires_python=f">={lowest}")
    assert (await bound.run(runner))["python"].startswith(f"{lowest}.")
    await runner.close()


async def test_requirements_that_refuse_every_python_are_asked_again_each_time(tmp_path, wheels, write_plugin):
    """The second answer names all tried Pythons, like the first."""
    wheels.write("future-package-for-a-test", {}, requires_python=">=4")
    runner = LocalRunner(tmp_path / "data", environ=wheels.environ)
    plugin = write_plugin(ACT, requirements="future-package-for-a-test")
    versions = [python.version for python in await Interpreters().all()]
    for _ in range(2):
        problem = await plugin.problem(runner)
        assert problem.error_type == "requirements_failed"
        assert problem.message.startswith(f"The requirements could not be installed (Python {', '.join(versions)}). ")
        assert "requires Python >=4" in problem.message
    await runner.close()


async def test_requires_python_chooses_and_names_what_there_is(fresh, write_plugin):
    """An action runs on a matching Python; if none matches, the message lists those tried."""
    pythons = await Interpreters().all()
    last = pythons[-1].version
    plugin = write_plugin(ACT, requires={"python": f"=={last}"})
    assert (await plugin.run(fresh))["python"] == last
    problem = await write_plugin(ACT, requires={"python": ">=4"}).problem(fresh)
    assert (problem.status, problem.error_type) == (422, "python_not_found")
    assert all(python.version in problem.message for python in pythons)


async def test_actions_run_on_every_python_of_the_machine(tmp_path, write_plugin):
    """Workers run on Python 3.8 and later, whatever the agent's Python."""
    source = """
        def act(n, context):
            context.set_progress(1, 1)
            return {"n": n}
        """
    for python in await Interpreters().all():
        runner = LocalRunner(tmp_path / "data", pythons=[python.path])
        plugin = write_plugin(source)
        assert await plugin.run(runner, {"n": 1}) == {"n": 1}
        assert (await plugin.problem(runner, {"m": 1})).error_type == "invalid_params"
        assert plugin.heard.events
        await runner.close()


async def test_the_last_one_to_stop_waiting_ends_the_installation(slow, write_plugin, tmp_path):
    """If one of two callers leaves, the installer continues; if both leave, it ends."""
    runner = LocalRunner(tmp_path / "data", environ=slow.environ)
    plugin = write_plugin(ACT, requirements=slow.requirement)
    tasks = [asyncio.ensure_future(plugin.run(runner)) for _ in range(2)]
    builder = await slow.builder()
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    assert builder.exists()
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    assert not builder.exists()
    assert environments(tmp_path) == []
    await runner.close()


async def test_stop_ends_a_run_that_waits_for_its_environment(slow, write_plugin, tmp_path):
    """No process of the installation keeps running."""
    runner = LocalRunner(tmp_path / "data", environ=slow.environ)
    plugin = write_plugin(ACT, requirements=slow.requirement)
    run = plugin.prepared({})
    task = asyncio.ensure_future(runner.run(run, plugin.heard))
    builder = await slow.builder()
    await runner.stop(run.job_id)
    with pytest.raises(Problem, match="stopped"):
        await task
    assert not builder.exists()
    await runner.close()


async def test_an_environment_that_was_half_made_is_never_used(slow, start_agent, write_plugin, until, tmp_path):
    """After a kill -9 in the middle of an installation, the installer ends, and the next agent starts over."""
    plugin = write_plugin(ACT, requirements=slow.requirement)
    agent = start_agent(plugin, tmp_path / "data", {}, env=slow.environ)
    builder = await slow.builder()
    agent.kill()
    agent.wait()
    await until(lambda: not builder.exists())
    slow.hurry()
    runner = LocalRunner(tmp_path / "data", environ=slow.environ)
    assert (await plugin.run(runner))["has"] == [slow.requirement]
    assert len(list((tmp_path / "data" / "scratch").iterdir())) == 1
    await runner.close()
    assert len(environments(tmp_path)) == 1


@dataclass
class Slow:
    """A package whose installation waits for the test."""

    folder: Path
    environ: dict[str, str]
    """The environment variables of an agent that finds it."""
    until: Callable[..., Awaitable[None]]
    requirement: str = "slow-package-for-a-test"

    async def builder(self) -> Path:
        """Wait until the installation is running, and return its process's folder in /proc."""
        mark = self.folder / "pid"
        await self.until(lambda: mark.exists() and mark.read_text())
        return Path("/proc", mark.read_text())

    def hurry(self) -> None:
        """Make this and all later installations end at once."""
        (self.folder / "hurry").touch()


@pytest.fixture
def slow(wheels, until: Callable[..., Awaitable[None]]) -> Slow:
    """Write a source package that builds itself, slowly."""
    folder = wheels.folder
    backend = f"""
        import os, time, zipfile
        from pathlib import Path

        def build_wheel(folder, config_settings=None, metadata_directory=None):
            here = Path({str(folder)!r})
            Path(here, "pid.new").write_text(str(os.getpid()))
            Path(here, "pid.new").rename(here / "pid")
            for _ in range(2000):
                if not Path(here, "hurry").exists():
                    time.sleep(0.01)
            name = "slow_package_for_a_test-1.0"
            metadata = "Metadata-Version: 2.1\\nName: slow-package-for-a-test\\nVersion: 1.0\\n"
            with zipfile.ZipFile(Path(folder, name + "-py3-none-any.whl"), "w") as wheel:
                wheel.writestr(name + ".dist-info/METADATA", metadata)
                tags = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
                wheel.writestr(name + ".dist-info/WHEEL", tags)
                wheel.writestr(name + ".dist-info/RECORD", "")
            return name + "-py3-none-any.whl"
        """
    files = {
        "backend.py": dedent(backend),
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "PKG-INFO": "Metadata-Version: 2.1\nName: slow-package-for-a-test\nVersion: 1.0\n",
    }
    with tarfile.open(folder / "slow_package_for_a_test-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"slow_package_for_a_test-1.0/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return Slow(folder, wheels.environ, until)
