"""kill -9 while an environment is created: afterwards it is complete or absent."""

from __future__ import annotations

import signal
import time

import pytest

from synapse_agent.runner.local import LocalRunner
from synapse_agent.storage.scratch import Scratch

pytestmark = pytest.mark.anyio

MODULES = 400
COUNT = """
from importlib.util import find_spec

def act():
    return sum(find_spec(f"part{number}") is not None for number in range(400))
"""


@pytest.fixture
def data(tmp_path):
    """Return the data folder of the test's agents."""
    return tmp_path / "data"


def there(data):
    """List the folder of environments."""
    return {str(path) for path in (data / "environments").iterdir()}


def draft(data):
    """Return the folder in which an environment is being created, if any."""
    return next(data.glob("scratch/*/[0-9]*"), None)


def is_in_place(data):
    """Return whether an environment is complete."""
    return any(data.glob("environments/*/"))


def first_file(data):
    """Return whether the installer has begun to install packages into the draft."""
    return any(data.glob("scratch/*/[0-9]*/lib/*/site-packages/part*.py"))


INSTANTS = {
    "a draft is there": lambda data: draft(data) is not None,
    "it has an interpreter": lambda data: any(data.glob("scratch/*/[0-9]*/bin/python")),
    "the first file is installed": first_file,
    "what is in it is written down": lambda data: any(data.glob("scratch/*/[0-9]*/environment.json")),
    "it is in its place": is_in_place,
}


@pytest.fixture(scope="module")
def uv_cache(tmp_path_factory):
    """Return a cache that all agents share, so that a package is unpacked only once."""
    return tmp_path_factory.mktemp("uv-cache")


@pytest.mark.parametrize("instant", INSTANTS)
async def test_a_maker_killed_at_any_instant_leaves_no_half(
    instant, data, wheels, uv_cache, start_agent, write_plugin, until
):
    """The next agent, which starts at once, uses a complete one, or removes the remains and creates one."""
    wheels.write("large", {f"part{number}": "" for number in range(MODULES)})
    environ = {**wheels.environ, "UV_CACHE_DIR": str(uv_cache)}
    plugin = write_plugin(COUNT, requirements="large")
    agent = start_agent(plugin, data, {}, env=environ)
    end = time.monotonic() + 30
    while not (INSTANTS[instant](data) or is_in_place(data)):  # the kill can miss short phases
        assert time.monotonic() < end
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    before = there(data) if (data / "environments").exists() else set()
    runner = LocalRunner(data, environ=environ)
    try:
        assert await plugin.run(runner) == MODULES
        await until(lambda: len(there(data)) == 1)
    finally:
        await runner.close()
    was_made = b"+ large==1.0" in plugin.heard.log
    whole = {path for path in before if not path.endswith(".lock")}
    assert was_made == (not whole)
    Scratch(data / "scratch").close()  # an installer may outlive its agent for a moment, and write again
    assert list((data / "scratch").iterdir()) == []
