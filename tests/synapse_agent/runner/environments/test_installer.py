"""How the agent uses uv: what uv may write to, and which code runs during an installation."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path
from textwrap import dedent

import pytest

from synapse_agent.problems import Problem
from synapse_agent.runner.environments.installer import _UpToError, _users_cache
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.sandbox import OFF, probed

pytestmark = pytest.mark.anyio

needs_landlock = pytest.mark.skipif(probed(wanted=True).status != "active", reason="this kernel has no Landlock")

BACKEND = """
    import os, zipfile
    from pathlib import Path

    def prepare_metadata_for_build_wheel(folder, settings=None):
        info = Path(folder, "NAME-1.0.dist-info")
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: NAME\\nVersion: 1.0\\n")
        (info / "WHEEL").write_text("Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        return info.name

    def build_wheel(folder, settings=None, metadata=None):
        said = []
        for root in ROOTS:
            for path in Path(root).rglob("shared_module_for_a_test.py"):
                try:
                    with path.open("a") as file:
                        file.write("VALUE = 'poisoned'\\n")
                    said.append("done")
                except OSError as error:
                    said.append(error.strerror)
        name = "NAME-1.0-py3-none-any.whl"
        with zipfile.ZipFile(Path(folder, name), "w") as wheel:
            wheel.writestr("built_module_for_a_test.py", f"SAID = {said!r}\\n")
            info = "NAME-1.0.dist-info"
            wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: NAME\\nVersion: 1.0\\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
            wheel.writestr(f"{info}/RECORD", "")
        return name
    """
SHARED = "import shared_module_for_a_test as shared\n\ndef act():\n    return shared.VALUE\n"
BUILT = """
    import os
    import built_module_for_a_test as built
    import shared_module_for_a_test as shared

    def act():
        return [built.SAID, shared.VALUE, os.stat(shared.__file__).st_nlink]
    """


def write_source(wheels, name, *roots):
    """Write a package whose build backend changes whatever it can below these folders."""
    source = (
        dedent(BACKEND).replace("NAME", name.replace("-", "_")).replace("ROOTS", repr([str(root) for root in roots]))
    )
    files = {
        "backend.py": source,
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    }
    with tarfile.open(wheels.folder / f"{name.replace('-', '_')}-1.0.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{name.replace('-', '_')}-1.0/{path}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


@needs_landlock
async def test_a_build_changes_no_other_environment(tmp_path, wheels, write_plugin):
    """It can change them neither directly nor through uv's cache, whose files environments share."""
    data = tmp_path / "data"
    wheels.write("shared-for-a-test", {"shared_module_for_a_test": "VALUE = 'as written'\n"})
    write_source(wheels, "built-for-a-test", wheels.folder / "cache", data / "environments")
    runner = LocalRunner(data, environ=wheels.environ, sandbox=probed(wanted=True))
    first = write_plugin(SHARED, requirements="shared-for-a-test")
    assert await first.run(runner) == "as written"
    said, value, _ = await write_plugin(BUILT, requirements="shared-for-a-test\nbuilt-for-a-test").run(runner)
    assert said
    assert set(said) == {"Permission denied"}
    third = write_plugin(SHARED, requirements="shared-for-a-test\nidle-for-a-test")
    wheels.write("idle-for-a-test", {})
    assert [value, await first.run(runner), await third.run(runner)] == ["as written"] * 3
    await runner.close()


async def test_what_is_built_shares_no_file_with_uvs_cache(tmp_path, wheels, write_plugin):
    """Neither do the wheels that are installed with it; its private cache is removed."""
    data = tmp_path / "data"
    wheels.write("shared-for-a-test", {"shared_module_for_a_test": "VALUE = 1\n"})
    write_source(wheels, "built-for-a-test")
    runner = LocalRunner(data, environ=wheels.environ, sandbox=OFF)
    assert await write_plugin(SHARED, requirements="shared-for-a-test").run(runner) == 1
    _, _, links = await write_plugin(BUILT, requirements="shared-for-a-test\nbuilt-for-a-test").run(runner)
    assert links == 1
    assert list((data / "scratch").glob("*/*/cache")) == []
    assert not list((wheels.folder / "cache").rglob("built_module_for_a_test.py"))
    await runner.close()


async def test_the_log_of_an_installation_shows_no_abandoned_attempt(tmp_path, wheels, write_plugin):
    """That a package has to be built is not reported as an error."""
    write_source(wheels, "built-for-a-test")
    wheels.write("shared-for-a-test", {"shared_module_for_a_test": "VALUE = 1\n"})
    runner = LocalRunner(tmp_path / "data", environ=wheels.environ)
    plugin = write_plugin(BUILT, requirements="shared-for-a-test\nbuilt-for-a-test")
    await plugin.run(runner)
    assert b"error" not in plugin.heard.log
    assert b"+ built-for-a-test==1.0" in plugin.heard.log
    broken = write_plugin(BUILT, requirements="shared-for-a-test\nno-such-package-for-a-test")
    await broken.problem(runner)
    assert b"error: No solution found" in broken.heard.log
    await runner.close()


@pytest.mark.parametrize("wanted", [True, False])
async def test_uvs_cache_can_be_cleaned_meanwhile(tmp_path, wheels, write_plugin, wanted):
    """The next environment is created as before, with and without a sandbox."""
    wheels.write("shared-for-a-test", {"shared_module_for_a_test": "VALUE = 1\n"})
    runner = LocalRunner(tmp_path / "data", environ=wheels.environ, sandbox=probed(wanted=wanted))
    assert await write_plugin(SHARED, requirements="shared-for-a-test").run(runner) == 1
    shutil.rmtree(wheels.folder / "cache")
    wheels.write("idle-for-a-test", {})
    assert await write_plugin(SHARED, requirements="shared-for-a-test\nidle-for-a-test").run(runner) == 1
    await runner.close()


@pytest.mark.parametrize("home", [None, "/proc", "/etc/passwd"])
async def test_without_a_usable_home_uvs_cache_is_in_the_data_folder(tmp_path, wheels, write_plugin, home):
    """This holds with and without requirements."""
    wheels.write("shared-for-a-test", {"shared_module_for_a_test": "VALUE = 1\n"})
    hidden = {"UV_CACHE_DIR", "HOME", "XDG_CACHE_HOME"}
    environ = {name: value for name, value in wheels.environ.items() if name not in hidden}
    environ |= {} if home is None else {"HOME": home}
    environ |= {"XDG_CACHE_HOME": f"{home}/.cache"} if home else {"XDG_CACHE_HOME": "/proc/none"}
    data = tmp_path / "data"
    runner = LocalRunner(data, environ=environ, sandbox=probed(wanted=True))
    assert await write_plugin("def act():\n    return 2\n").run(runner) == 2
    assert await write_plugin(SHARED, requirements="shared-for-a-test").run(runner) == 1
    assert data / "uv-cache" in set(data.iterdir())
    await runner.close()


def test_a_cache_that_a_variable_names_needs_no_start_of_uv():
    """uv takes a relative path from its working folder, which is the root."""
    assert _users_cache("/no/uv", {"UV_CACHE_DIR": "/some/cache"}) == Path("/some/cache")
    assert _users_cache("/no/uv", {"UV_CACHE_DIR": "cache"}) == Path("/cache")


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
async def test_an_error_is_kept_however_its_bytes_arrive(size: int) -> None:
    """An error is held back until it is final; output before it is passed on at once."""
    printed = b"Using Python\nno error: yet\nerror: No solution\n  cause: none\n"
    heard: list[bytes] = []
    kept = _UpToError(heard.append)
    for start in range(0, len(printed), size):
        kept(printed[start : start + size])
    assert b"".join(heard) == b"Using Python\nno error: yet\n"
    kept.pass_on_rest()
    assert b"".join(heard) == printed


async def test_a_file_in_place_of_the_cache_is_named(tmp_path, wheels, write_plugin):
    """The requirements are not to blame: the agent recovers once it is removed."""
    wheels.write("red", {"red": "VALUE = 1\n"})
    home = tmp_path / "home"
    home.touch()
    environ = {**wheels.environ, "UV_CACHE_DIR": str(home / "cache")}
    runner = LocalRunner(tmp_path / "data", environ=environ, sandbox=OFF)
    try:
        spare = tmp_path / "data" / "uv-cache"
        spare.touch()
        plugin = write_plugin("import red\n\ndef act():\n    return red.VALUE\n", requirements="red")
        with pytest.raises(Problem, match=f"uv's cache {spare} is not a folder: remove it") as raised:
            await plugin.run(runner)
        assert (raised.value.status, raised.value.error_type) == (503, "unavailable")
        spare.unlink()
        assert await plugin.run(runner) == 1
    finally:
        await runner.close()
