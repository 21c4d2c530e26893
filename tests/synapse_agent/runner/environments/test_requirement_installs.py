"""Installing requirement files, projects and shipped packages."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from uv import find_uv_bin

from synapse_agent.plugins.project import read_requirements
from synapse_agent.plugins.requirements import STRICT, RequirementRules
from synapse_agent.problems import Problem
from synapse_agent.runner.local import LocalRunner

pytestmark = pytest.mark.anyio

SOURCE = """
    from importlib import import_module, metadata

    def act(names):
        return {name: [import_module(name).VALUE, metadata.version(name)] for name in names}
    """
BACKEND = """
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    open("written-by-the-build", "w").close()
    with zipfile.ZipFile(folder + "/lib-2.0-py3-none-any.whl", "w") as wheel:
        wheel.write("lib.py")
        wheel.writestr("lib-2.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: lib\\nVersion: 2.0\\n")
        wheel.writestr("lib-2.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("lib-2.0.dist-info/RECORD", "")
    return "lib-2.0-py3-none-any.whl"
"""


@pytest.fixture
async def runner(data_dir, wheels):
    """Return a runner whose only index is the test's folder."""
    runner = LocalRunner(data_dir, environ=wheels.environ)
    yield runner
    await runner.close()


def write(plugin, **files):
    for name, text in files.items():
        path = plugin.folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def hash_of(wheels, name):
    return hashlib.sha256((wheels.folder / f"{name}-1.0-py3-none-any.whl").read_bytes()).hexdigest()


async def test_hashes_constraints_and_included_files_are_installed(runner, write_plugin, wheels):
    """pip-compile writes such files; the installer refuses a file with another hash."""
    for name in ("alpha", "beta"):
        wheels.write(name, {name: f"VALUE = {name!r}"})
    hashed = f"alpha==1.0 \\\n    --hash=sha256:{hash_of(wheels, 'alpha')}\n-r more.txt\n-c held.txt\n"
    plugin = write_plugin(SOURCE, requirements=hashed)
    write(plugin, **{"more.txt": "beta", "held.txt": "beta==1.0\nnever-there==7"})
    assert await plugin.run(runner, {"names": ["alpha", "beta"]}) == {
        "alpha": ["alpha", "1.0"],
        "beta": ["beta", "1.0"],
    }
    other = write_plugin(SOURCE, requirements=f"alpha==1.0 --hash=sha256:{'0' * 64}")
    problem = await other.problem(runner, {"names": []})
    assert problem.error_type == "requirements_failed"
    assert "ash" in problem.message
    assert "warning" not in problem.message  # uv's message about our file


async def test_a_constraint_that_does_not_fit_is_the_installers_error(runner, write_plugin, wheels):
    """A constraint limits the versions of a requirement."""
    wheels.write("alpha", {"alpha": "VALUE = 1"})
    plugin = write_plugin(SOURCE, requirements="alpha\n-c held.txt")
    write(plugin, **{"held.txt": "alpha>=2"})
    assert "alpha>=2" in (await plugin.problem(runner, {"names": []})).message


async def test_packages_that_the_plugin_ships_are_installed(runner, write_plugin, wheels):
    """One is a wheel, one is built, though not in the plugin's folder, which is read-only."""
    wheels.write("shipped", {"shipped": "VALUE = 'wheel'"})
    plugin = write_plugin(SOURCE, requirements="./vendor/shipped-1.0-py3-none-any.whl\n-e ./lib\n")
    (plugin.folder / "vendor").mkdir()
    (wheels.folder / "shipped-1.0-py3-none-any.whl").rename(plugin.folder / "vendor" / "shipped-1.0-py3-none-any.whl")
    project = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    write(plugin, **{"lib__pyproject.toml": project, "lib__backend.py": BACKEND, "lib__lib.py": "VALUE = 'built'"})
    assert await plugin.run(runner, {"names": ["shipped", "lib"]}) == {
        "shipped": ["wheel", "1.0"],
        "lib": ["built", "2.0"],
    }
    assert not (plugin.folder / "lib" / "written-by-the-build").exists()


async def test_an_environment_is_shared_wherever_the_plugin_lies(runner, write_plugin, wheels, data_dir):
    """The same packages share an environment; a changed package needs another one."""
    wheels.write("shipped", {"shipped": "VALUE = 1"})
    content = (wheels.folder / "shipped-1.0-py3-none-any.whl").read_bytes()

    async def environments(content):
        plugin = write_plugin(SOURCE, requirements="./shipped-1.0-py3-none-any.whl")
        (plugin.folder / "shipped-1.0-py3-none-any.whl").write_bytes(content)
        await plugin.run(runner, {"names": ["shipped"]})
        return {path.name for path in (data_dir / "environments").iterdir() if path.is_dir()}

    first = await environments(content)
    assert await environments(content) == first
    wheels.write("shipped", {"shipped": "VALUE = 2"})
    assert await environments((wheels.folder / "shipped-1.0-py3-none-any.whl").read_bytes()) > first


async def test_a_project_is_installed_with_the_versions_of_its_lock(runner, write_plugin, wheels):
    """`uv.lock` has the installed packages and their dependencies."""
    wheels.write("alpha", {"alpha": "VALUE = 1"})
    plugin = write_plugin(SOURCE)
    registry = "source = { registry = 'https://packages.test' }\n"
    write(
        plugin,
        **{
            "pyproject.toml": "[project]\nname = 'p'\nversion = '1'\ndependencies = ['alpha']\n",
            "uv.lock": f"version = 1\n[[package]]\nname = 'alpha'\nversion = '1.0'\n{registry}",
        },
    )
    assert await plugin.run(runner, {"names": ["alpha"]}) == {"alpha": [1, "1.0"]}
    other = write_plugin(SOURCE)
    write(
        other,
        **{
            "pyproject.toml": "[project]\nname = 'p'\nversion = '1'\ndependencies = ['alpha']\n",
            "uv.lock": f"version = 1\n[[package]]\nname = 'alpha'\nversion = '1.1'\n{registry}",
        },
    )
    assert "alpha==1.1" in (await other.problem(runner, {"names": []})).message


@pytest.mark.parametrize("is_right", [True, False])
async def test_a_lock_also_decides_on_the_files(runner, write_plugin, wheels, is_right):
    """The installer refuses another file of the same version."""
    wheels.write("alpha", {"alpha": "VALUE = 1"})
    plugin = write_plugin(SOURCE)
    digest = hash_of(wheels, "alpha") if is_right else "0" * 64
    source = (
        f"source = {{ registry = 'https://packages.test' }}\nwheels = [{{ url = 'a', hash = 'sha256:{digest}' }}]\n"
    )
    write(
        plugin,
        **{
            "pyproject.toml": "[project]\nname = 'p'\nversion = '1'\ndependencies = ['alpha']\n",
            "uv.lock": f"version = 1\n[[package]]\nname = 'alpha'\nversion = '1.0'\n{source}",
        },
    )
    if is_right:
        assert await plugin.run(runner, {"names": ["alpha"]}) == {"alpha": [1, "1.0"]}
    else:
        problem = await plugin.problem(runner, {"names": []})
        assert (problem.error_type, digest in problem.message) == ("requirements_failed", True)


async def test_a_project_chooses_the_python(runner, write_plugin):
    """`config.yaml` takes precedence over the project."""
    project = "[project]\nname = 'p'\nversion = '1'\nrequires-python = '>=99'\n"
    plugin = write_plugin("def act(): return 'ran'")
    write(plugin, **{"pyproject.toml": project})
    assert "requires Python >=99" in (await plugin.problem(runner)).message
    fitting = write_plugin("def act(): return 'ran'")
    write(fitting, **{"pyproject.toml": project.replace(">=99", ">=3.8")})
    assert await fitting.run(runner) == "ran"
    decided = write_plugin("def act(): return 'ran'", requires={"python": ">=3.8"})
    write(decided, **{"pyproject.toml": project})
    assert await decided.run(runner) == "ran"


@pytest.fixture
def served(wheels):
    """Serve the test's wheels over HTTP; return the address of their folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(wheels.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "line",
    ["{url}/alpha-1.0-py3-none-any.whl", "alpha @ {url}/alpha-1.0-py3-none-any.whl", "alpha\n--find-links {url}/"],
)
async def test_an_address_is_installed_if_the_operator_allows_it(data_dir, write_plugin, wheels, served, line):
    """The wheel's address may have its name or not; other agents refuse it before the first run."""
    wheels.write("alpha", {"alpha": "VALUE = 1"})
    requirements = line.format(url=served)
    environ = {**os.environ, "UV_NO_INDEX": "1"}
    plugin = write_plugin(SOURCE, requirements=requirements)
    with pytest.raises(Problem, match=r"requirements\.txt, line"):
        read_requirements(plugin.folder, STRICT)
    runner = LocalRunner(data_dir, environ=environ, rules=RequirementRules(urls=True))
    try:
        assert await plugin.run(runner, {"names": ["alpha"]}) == {"alpha": [1, "1.0"]}
    finally:
        await runner.close()


@pytest.mark.parametrize(
    "command", [["pip", "compile", "pyproject.toml", "--generate-hashes"], ["export", "--format", "requirements-txt"]]
)
async def test_what_tools_write_is_installed(runner, write_plugin, wheels, command):
    """The tools are `uv pip compile`, which writes hashes and comments like pip-compile, and `uv export`."""
    wheels.write("alpha", {"alpha": "VALUE = 1"})
    plugin = write_plugin(SOURCE)
    project = "[project]\nname = 'p'\nversion = '1'\nrequires-python = '>=3.8'\ndependencies = ['alpha']\n"
    write(plugin, **{"pyproject.toml": project})
    index = ["--no-index", "--find-links", str(wheels.folder), "--no-cache"]
    asked = [find_uv_bin(), *command, *index, "-o", "requirements.txt"]
    await asyncio.to_thread(subprocess.run, asked, cwd=plugin.folder, check=True, capture_output=True, timeout=60)
    written = (plugin.folder / "requirements.txt").read_text()
    assert ("--hash=sha256:" in written) is (command[0] == "pip")  # `uv export` writes no hashes of local files
    assert "    # via p" in written
    assert await plugin.run(runner, {"names": ["alpha"]}) == {"alpha": [1, "1.0"]}
