"""Reading a plugin's folder, and the messages for defects in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synapse_agent.plugins.config import Action, PluginConfig, merge_config
from synapse_agent.problems import Problem

GOOD = """
name: My plugin
code: my_plugin
version: 1.10
category: neural_net
variant: null
env: {DEBUG: yes, LEVEL: 007, NOTHING: null}
requires: {python: ">=3.10,<3.13", cuda: ">=11.8"}
actions:
  train: {entrypoint: "plugin.train:train", method: job, description: Fits., num_gpus: 1}
  test: {entrypoint: plugin.test.Test}
  short: plugin.short:run
  later:
  infer: {entrypoint: "plugin.infer:Infer", method: restapi}
"""


def config_of(text: str | bytes, folder: Path) -> PluginConfig:
    """Read a `config.yaml` of that text."""
    (folder / "config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return PluginConfig.read(folder)


def problem_of(text: str | bytes, folder: Path) -> Problem:
    """Read a `config.yaml` of that text, and return its error."""
    with pytest.raises(Problem) as caught:
        config_of(text, folder)
    assert (caught.value.status, caught.value.error_type) == (422, "invalid_plugin")
    return caught.value


def test_identity_and_env_are_the_text_that_was_written(tmp_path):
    """YAML would make 1.1 of `1.10`, true of `yes` and 7 of `007`."""
    config = config_of(GOOD, tmp_path)
    assert (config.code, config.version, config.name) == ("my_plugin", "1.10", "My plugin")
    assert config.env == {"DEBUG": "yes", "LEVEL": "007"}
    assert config.requires_python == ">=3.10,<3.13"


def test_actions_are_read_leniently(tmp_path):
    """The method defaults to `task`, as in the public SDK; an entrypoint is enough; other keys are accepted."""
    config = config_of(GOOD, tmp_path)
    assert config.action("train") == Action("train", "plugin.train:train", "job", "Fits.")
    assert config.action("test") == Action("test", "plugin.test.Test", "task")
    assert config.action("short").entrypoint == "plugin.short:run"
    assert config.raw["actions"]["train"]["num_gpus"] == "1"


def test_the_error_for_an_unknown_action_lists_the_others(tmp_path):
    """The message lists them for people, the body for programs."""
    with pytest.raises(Problem) as caught:
        config_of(GOOD, tmp_path).action("trian")
    assert (caught.value.status, caught.value.error_type) == (422, "unknown_action")
    assert caught.value.message == "my_plugin has no action 'trian'. Available: infer, later, short, test, train"
    assert caught.value.extra == {"actions": ["infer", "later", "short", "test", "train"]}


def test_an_action_that_cannot_be_run_does_not_keep_others_from_running(tmp_path):
    """Only its own runs are refused."""
    config = config_of(GOOD, tmp_path)
    with pytest.raises(Problem, match=r"`actions.later.entrypoint` is missing"):
        config.action("later")
    with pytest.raises(Problem) as caught:
        config.action("infer")
    assert (caught.value.status, caught.value.error_type) == (422, "method_not_supported")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "config.yaml: `code` is missing"),
        ("code: ''", "config.yaml: `code` is empty"),
        ("code: [a]", "config.yaml: `code` must be text, not a list"),
        ("code: a\nversion: ''", "config.yaml: `version` is empty"),
        ("code: a\nversion: {a: b}", "config.yaml: `version` must be text, not a mapping"),
        ("code: a\nactions: [train]", "config.yaml: `actions` must be a mapping, not a list"),
        ("code: a\nactions: {t: [x]}", "config.yaml: `actions.t` must be a mapping with an `entrypoint`, not a list"),
        (
            "code: a\nactions: {t: {entrypoint: {}}}",
            "config.yaml: `actions.t.entrypoint` must be text, not a mapping",
        ),
        (
            "code: a\nactions: {t: {method: x}}",
            "config.yaml: `actions.t.method` is 'x'. Known: local, task, job, serve",
        ),
        ("code: a\nenv: DEBUG", "config.yaml: `env` must be a mapping, not 'DEBUG'"),
        ("code: a\nenv: {'A=B': c}", "config.yaml: `env.A=B` is not a valid environment variable"),
        ("code: a\nenv: {A: !!binary aGk=}", "config.yaml: `env.A` must be text, not b'hi'. Put it into quotes"),
        (
            "code: a\nrequires: {python: newest}",
            "config.yaml: `requires.python` is 'newest', not a version specifier such as '>=3.10,<3.13'",
        ),
        ("- a", "config.yaml must be a mapping, not a list"),
        ("just text", "config.yaml must be a mapping, not 'just text'"),
    ],
)
def test_a_defect_names_its_key_and_what_was_found(tmp_path, text, message):
    """The message is one line, with the key as its author wrote it."""
    assert problem_of(text, tmp_path).message == message


@pytest.mark.parametrize(
    "text",
    [
        *("a: [", "a: b: c", b"\xff\xfe\xff", "\0", "a: !!python/object:os.system {}", "a: {!!merge m: {}}"),
        *("a: !!int x", "a: !!int ''", "a: !!float ''", "a: !!bool perhaps", "a: !!timestamp soon"),
    ],
)
def test_invalid_yaml_is_an_error(tmp_path, text):
    """This covers every kind of parser error; tags in the text execute nothing."""
    message = problem_of(text, tmp_path).message
    assert message.startswith("config.yaml is not YAML: ")
    assert "\n" not in message


def test_a_config_that_is_nested_without_end_is_refused(tmp_path):
    """The agent returns an error instead of crashing."""
    assert problem_of("a: " + "[" * 20_000, tmp_path).message == "config.yaml is nested too deeply"


def test_a_config_may_use_a_value_again(tmp_path):
    """YAML's `&` names a value, and `*` refers to it."""
    config = config_of("code: &it a\nname: *it\nenv: {A: &text x, B: *text}", tmp_path)
    assert (config.name, config.env) == ("a", {"A": "x", "B": "x"})


@pytest.mark.parametrize(
    "text",
    [
        "v0: &v0 [x]\n" + "\n".join(f"v{n}: &v{n} [{', '.join([f'*v{n - 1}'] * 10)}]" for n in range(1, 12)),
        "v0: &v0 [x]\n" + "\n".join(f"v{n}: &v{n} !!pairs [{', '.join([f'k: *v{n - 1}'] * 10)}]" for n in range(1, 12)),
        f"text: &text {'x' * 200_000}\nenv: {{A: [{', '.join(['*text'] * 1000)}]}}",
        f"text: &text {'x' * 200_000}\nenv: {{A: [{', '.join(['{*text : x}'] * 1000)}]}}",
        "env: &env {A: *env}",
        "env: {A: &list [*list, *list]}",
    ],
    ids=["lists", "pairs", "texts", "keys", "mapping in itself", "list in itself"],
)
def test_a_config_that_is_larger_than_it_looks_is_refused(tmp_path, text):
    """Both aliases that multiply and aliases that contain themselves are refused."""
    message = problem_of(f"code: a\n{text}", tmp_path).message
    assert message.startswith("config.yaml has aliases (*) that enlarge it too much")


def test_a_folder_without_a_config_is_no_plugin(tmp_path):
    """The message names the missing file."""
    with pytest.raises(Problem, match=r"the plugin's folder has no config\.yaml"):
        PluginConfig.read(tmp_path)


def test_a_config_can_come_as_json():
    """Debug runs send JSON, with numbers and booleans."""
    raw: dict[str, Any] = {
        "code": "a",
        "version": 2,
        "env": {"N": 1, "ON": True, "OFF": None},
        "actions": {},
    }
    config = PluginConfig.from_mapping(raw)
    assert (config.version, config.name) == ("2", "a")
    assert config.env == {"N": "1", "ON": "true"}


def test_configs_are_merged_key_by_key():
    """Mappings are merged at every level; other values are replaced. Neither argument is changed."""
    base = {"code": "a", "actions": {"x": {"entrypoint": "p:x", "method": "job"}}, "tags": ["t"]}
    override = {"actions": {"x": {"method": "local"}, "y": {"entrypoint": "p:y"}}, "tags": [], "debug": True}
    merged = merge_config(base, override)
    assert merged == {
        "code": "a",
        "actions": {"x": {"entrypoint": "p:x", "method": "local"}, "y": {"entrypoint": "p:y"}},
        "tags": [],
        "debug": True,
    }
    assert base["actions"] == {"x": {"entrypoint": "p:x", "method": "job"}}


MERGING = """
code: a
defaults: &defaults {method: job, timeout: 60}
more: &more {method: task, description: More}
actions:
  train: {<<: *defaults, entrypoint: "m:train"}
  test: {entrypoint: "m:test", <<: [*defaults, *more]}
  own: {method: local, <<: *defaults, entrypoint: "m:own"}
  deep: &deep {<<: *more, entrypoint: "m:deep"}
  deeper: {<<: *deep, timeout: 5}
"""


def test_yaml_merges_are_merged(tmp_path):
    """A mapping's own keys take precedence, then those of the first merged mapping, then what that merges."""
    (tmp_path / "config.yaml").write_text(MERGING)
    actions = PluginConfig.read(tmp_path).actions
    assert {name: (each.method, each.timeout, each.description) for name, each in actions.items()} == {
        "train": ("job", 60, ""),
        "test": ("job", 60, "More"),
        "own": ("local", 60, ""),
        "deep": ("task", None, "More"),
        "deeper": ("task", 5, "More"),
    }
    assert actions["deeper"].entrypoint == "m:deep"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("code: a\nactions: {<<: 3}", "<< must name a mapping"),
        ("code: a\nactions: {<<: [{}, [1]]}", "<< must name a mapping"),
    ],
)
def test_a_merge_of_something_else_is_refused(tmp_path, text, said):
    """The message has line and column."""
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(Problem, match=rf"config.yaml is not YAML: line \d, column \d+: {said}"):
        PluginConfig.read(tmp_path)


def test_merges_of_merges_end(tmp_path):
    """A mapping that merges itself adds nothing; merges that produce millions of entries are refused at once."""
    (tmp_path / "config.yaml").write_text("code: a\nenv: &a {A: b, <<: *a}\n")
    assert PluginConfig.read(tmp_path).env == {"A": "b"}
    wide = "&a {" + ", ".join(f"k{number}: v" for number in range(4000)) + "}"
    (tmp_path / "config.yaml").write_text(f"code: a\nw: {wide}\nm:\n" + "- {<<: [*a, *a, *a]}\n" * 5000)
    with pytest.raises(Problem, match="enlarge"):
        PluginConfig.read(tmp_path)


@pytest.mark.parametrize("value", ["[1, 2]", "{a: b}"])
def test_an_environment_variable_is_a_text(tmp_path, value):
    """A list is refused."""
    (tmp_path / "config.yaml").write_text(f"code: a\nenv: {{D: {value}}}\n")
    with pytest.raises(Problem, match=r"`env.D` must be text, not a (list|mapping)\. Put it into quotes"):
        PluginConfig.read(tmp_path)


@pytest.mark.parametrize("timeout", ["soon", "0", "-1", "inf", "nan", "[1]"])
def test_a_timeout_is_a_number_of_seconds(tmp_path, timeout):
    """It must be more than 0."""
    (tmp_path / "config.yaml").write_text(f"code: a\nactions: {{go: {{entrypoint: 'm:go', timeout: {timeout}}}}}\n")
    with pytest.raises(Problem, match=r"`actions.go.timeout` (is|must be)"):
        PluginConfig.read(tmp_path)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", None),
        ("preload: auto", None),
        ("preload: true", True),
        ("preload: no", False),
        ("preload: []", False),
        ("preload: [numpy, plugin.model, numpy]", ("numpy", "plugin.model")),
    ],
)
def test_what_is_imported_before_runs(written: str, read: object) -> None:
    """`preload` is true, false, a list of modules, or missing."""
    assert PluginConfig.from_yaml(f"code: p\n{written}\n".encode()).preload == read


@pytest.mark.parametrize("written", ["maybe", "3", "{a: b}", "[a-b]", "[plugin.]", "[os; x]"])
def test_what_cannot_be_imported_is_refused(written: str) -> None:
    """The message names the key."""
    with pytest.raises(Problem, match="`preload`"):
        PluginConfig.from_yaml(f"code: p\npreload: {written}\n".encode())
