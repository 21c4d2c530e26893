"""The fixtures for pytest, used in another project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = 'pytest_plugins = ["synapse_agent.testing"]\n'
TESTS = """
from synapse_sdk.clients.agent import AgentClient


def test_an_action(agent_client):
    assert isinstance(agent_client, AgentClient)
    agent_client.create_plugin_release("small", "1.0.0")
    assert agent_client.run_plugin_release("small@1.0.0", "go") == "small@1.0.0"


def test_the_agent_is_one_for_all(agent_client, embedded_agent):
    assert agent_client.base_url == embedded_agent.base_url
    assert agent_client.list_plugin_releases(list_all=True)[1] == 1
"""


@pytest.fixture
def project(tmp_path: Path, write_plugin) -> Path:
    """A project with a plugin and its tests."""
    write_plugin(tmp_path / "plugins" / "small", code="small")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_small.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return tmp_path


def run_tests(project: Path, *arguments: str) -> str:
    """Run the project's tests and return pytest's output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    ended = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return ended.stdout + ended.stderr


def test_an_ini_option_names_the_plugins(project: Path) -> None:
    """The path is relative to the ini file, wherever pytest is started."""
    (project / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\nsynapse_agent_plugins = plugins\n")
    assert "2 passed" in run_tests(project / "tests")


def test_fixtures_of_ones_own_set_the_plugins(project: Path) -> None:
    """A fixture of the project can set the plugins, and other settings of the agent."""
    own = """
import pytest
from pathlib import Path

@pytest.fixture(scope="session")
def agent_plugins():
    return Path(__file__).parent / "plugins"

@pytest.fixture(scope="session")
def agent_settings():
    return {"time_limit": 60.0}
"""
    (project / "conftest.py").write_text(CONFTEST + own)
    assert "2 passed" in run_tests(project)


def test_without_plugins_the_error_has_instructions(project: Path) -> None:
    """Each test that uses the agent fails with the instructions."""
    said = run_tests(project)
    assert "2 errors" in said
    assert "embedded_agent has no plugins: set `synapse_agent_plugins` in pytest's configuration" in said
