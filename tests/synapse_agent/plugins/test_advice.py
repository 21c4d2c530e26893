"""Warnings for a plugin's author."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.plugins.advice import advice
from synapse_agent.plugins.config import PluginConfig


def advised(folder: Path, config: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(f"code: a\n{config}")
    return list(advice(folder, PluginConfig.read(folder)))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("runtime_env: {pip: [six]}", "'runtime_env' has no effect: requirements go into requirements.txt"),
        ("dependencies: [six]", "'dependencies' has no effect: requirements go into requirements.txt, or"),
        ("actions: {go: {entrypoint: 'm:go', retries: 3}}", "'actions.go.retries' has no effect: `retryable: true`"),
        ("actions: {go: {entrypoint: 'm:go', accelerator: gpu}}", "'actions.go.accelerator' has no effect: `resources"),
        ("concurrency: 4", "'concurrency' has no effect: `serve --max-concurrent-runs`"),
        ("timeout: 60", "'timeout' has no effect: it belongs in an action."),
        ("flavor: red", "'flavor' has no effect."),
        ("actions: {inference: {entrypoint: 'm:go'}}", "'actions.inference' has no method and runs as a task"),
        ("actions: {go: {entrypoint: 'm:go', serve: {workers: 2}}}", "'actions.go.serve' has no effect: it is for"),
        ("defaults: &all {timeout: 1}\nactions: {go: {entrypoint: 'm:go'}}", "'defaults' has no effect."),
        ("actions: {go: nope}", "'actions.go' can't run: its entrypoint is 'nope', which is not of the form"),
        ("actions: {go: {entrypoint: 'src/m.py:go'}}", "'actions.go' can't run: its entrypoint is 'src/m.py:go'"),
        ("actions: {go: {entrypoint: 'm:go', method: restapi}}", "'actions.go' can't run: this agent does not support"),
    ],
)
def test_a_key_without_effect_is_named(tmp_path: Path, config: str, said: str) -> None:
    """The warning suggests the key that has this effect, if one exists."""
    (found,) = advised(tmp_path / "a", config)
    assert found.startswith(f"config.yaml: {said}")


@pytest.mark.parametrize(
    "config",
    [
        "name: A\nversion: 1\nauthor: me\ntags: [a]\nenv: {A: b}\nrequires: {python: '>=3.8'}",
        "actions: {go: {entrypoint: 'm:go', method: job, timeout: 5, retryable: yes, resources: {num_cpus: 1}}}",
        "actions: {inference: {entrypoint: 'm:go', method: task}, go: 'm:go'}",
        "actions: {inference: {entrypoint: 'm:go', method: serve, serve: {workers: 2}}}",
    ],
)
def test_what_is_used_and_what_describes_is_not_named(tmp_path: Path, config: str) -> None:
    """A correct plugin has no warnings."""
    assert advised(tmp_path / "a", config) == []


@pytest.fixture
def odd_agent(tmp_path: Path) -> Iterator[EmbeddedAgent]:
    folder = tmp_path / "plugins" / "odd"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("code: odd\nversion: 1.0.0\nretries: 3\nactions: {go: 'main:go'}\n")
    (folder / "main.py").write_text("def go(): pass")
    (folder / "Pipfile").touch()
    with EmbeddedAgent(tmp_path / "plugins") as running:
        yield running


def test_a_release_carries_its_warnings(odd_agent: EmbeddedAgent) -> None:
    """The answer to `create` and every record of the release have them."""
    with odd_agent.client() as client:
        created: Any = client.create_plugin_release("odd", "1.0.0")
        assert [each.partition(" has")[0].partition(" is not")[0] for each in created["warnings"]] == [
            "config.yaml: 'retries'",
            "Pipfile",
        ]
        assert client.get_plugin_release("odd@1.0.0") == created
        assert client.list_plugin_releases()["results"] == [created]


def test_what_is_merged_into_actions_has_an_effect(tmp_path: Path) -> None:
    """Merged keys cause no warning, nor do dotted entrypoints and those of attributes."""
    config = """
defaults: &all {method: job}
actions:
  go: {<<: *all, entrypoint: "m:go"}
  dotted: {<<: *all, entrypoint: m.sub.go}
  deep: {<<: *all, entrypoint: "m.sub:Class.go"}
"""
    assert advised(tmp_path / "a", config) == []


MODULES = {
    "plugin/words.py": "def count(): ...\nclass Model:\n    def go(self): ...\n",
    "plugin/star.py": "from plugin.words import *\n",
    "plugin/native.cpython-311.so": "",
    "plugin/sub/__init__.py": "",
    "src/inner/deep.py": "go = 1\n",
    "long.py": f"# {'x' * 300_000}\n",
}


@pytest.mark.parametrize(
    ("entrypoint", "said"),
    [
        ("plugin.words:cuont", "'plugin.words' has no 'cuont'."),
        ("plugin.words.Modle.go", "'plugin.words' has no 'Modle'."),
        ("plugin.wrods:count", "the plugin has no module 'plugin.wrods'."),
        ("plugin.wrods.Model", "the plugin has no module 'plugin.wrods'."),
        ("inner.deeep:go", "the plugin has no module 'inner.deeep'."),
        ("plugin.sub:go", "'plugin.sub' has no 'go'."),
    ],
)
def test_an_entrypoint_that_the_plugin_lacks_is_named(tmp_path: Path, entrypoint: str, said: str) -> None:
    """`create` reports a typing error, before the first run fails."""
    write_modules(tmp_path / "a")
    assert advised(tmp_path / "a", f"actions: {{go: '{entrypoint}'}}") == [
        f"config.yaml: 'actions.go' can't run: {said}"
    ]


@pytest.mark.parametrize(
    "entrypoint",
    [
        *(
            "plugin.words:count",
            "plugin.words.Model",
            "plugin.words:Model.go",
            "plugin.words.Model.go",
            "inner.deep:go",
        ),
        *(
            "plugin.star:anything",
            "plugin.native:go",
            "long:go",
            "package_of_the_environment.module:go",
            "sklearn.svm:go",
        ),
    ],
)
def test_an_entrypoint_that_may_exist_is_not_named(tmp_path: Path, entrypoint: str) -> None:
    """Modules can be compiled, installed, too long to read, or define names that are not in their text."""
    write_modules(tmp_path / "a")
    assert advised(tmp_path / "a", f"actions: {{go: '{entrypoint}'}}") == []


def write_modules(folder: Path) -> None:
    for name, text in MODULES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
