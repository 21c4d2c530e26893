"""Debug runs that can't run: the errors use the caller's own terms, and no scratch folder stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk.exceptions import ActionFailedError, ValidationError

CONFIG = {"actions": {"go": {"entrypoint": "main:go", "method": "local"}}}
WITHOUT_PRIVILEGE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
FILES = {"config.yaml": "code: tried\nactions: {go: 'main:go'}\n", "main.py": "def go():\n    return 'gone'\n"}


@pytest.fixture
def source(tmp_path, write_files) -> Path:
    """A plugin's folder that works."""
    return write_files(tmp_path / "source", FILES)


@pytest.fixture
def refuse(facade):
    """Start a debug run that the agent should refuse before it is a job, and return the error."""

    def refuse(**what):
        error = facade.error("run_debug_plugin_release", "go", **what)
        assert (type(error), error.status_code, error.outcome) == (ValidationError, 422, "rejected")
        return error

    return refuse


def test_a_path_that_is_not_there_is_named(refuse, tmp_path):
    """The message has the system's reason."""
    error = refuse(plugin_path=tmp_path / "nowhere")
    assert error.error_type == "invalid_plugin_path"
    assert error.message == (
        f"The plugin_path '{tmp_path}/nowhere' was not found on the agent's machine: No such file or directory."
    )


def test_a_path_that_is_a_file_is_named(refuse, source):
    """A plugin is a folder."""
    error = refuse(plugin_path=source / "main.py")
    assert error.error_type == "invalid_plugin_path"
    assert error.message == f"The plugin_path '{source}/main.py' is not a folder."


def test_a_path_that_leads_to_itself_is_named(refuse, tmp_path):
    """A loop of symbolic links."""
    (tmp_path / "round").symlink_to("round")
    message = refuse(plugin_path=tmp_path / "round").message
    assert message.endswith("was not found on the agent's machine: Too many levels of symbolic links.")


def test_a_path_that_is_not_readable_is_named(serve, make_facade, source):
    """This holds for an agent that runs as root, too, if it may not read everything."""
    served = serve(prefix=WITHOUT_PRIVILEGE if os.getuid() == 0 else ())
    facade = make_facade(served.base_url, "secret")
    source.chmod(0)
    error = facade.error("run_debug_plugin_release", "go", plugin_path=source)
    source.chmod(0o700)
    assert (error.status_code, error.error_type) == (422, "invalid_plugin_path")
    assert error.message == f"The plugin_path '{source}' is not readable for the agent."
    served.end()


def test_symbolic_links_in_a_circle_do_no_harm(facade, ledger, source):
    """They are copied as links."""
    (source / "a").symlink_to("b")
    (source / "b").symlink_to("a")
    (source / "inside").symlink_to(".")
    ledger.expect(jobs=1)
    assert facade.run_debug_plugin_release("go", plugin_path=source) == "gone"


def test_a_data_folder_may_be_named_by_a_relative_path(make_facade, plugins, source, tmp_path):
    """The runs of such an agent work."""
    data = Path(os.path.relpath(tmp_path / "data"))
    with EmbeddedAgent(plugins, data_dir=data) as agent:
        facade = make_facade(agent.base_url, agent.token)
        assert facade.run_debug_plugin_release("go", plugin_path=source) == "gone"


def test_a_folder_of_a_gigabyte_is_refused(facade, ledger, source):
    """It is refused before it is copied. The file has holes, so that the test is fast."""
    with (source / "data.bin").open("wb") as file:
        file.truncate(2**30)
    ledger.expect(jobs=1)
    error = facade.error("run_debug_plugin_release", "go", plugin_path=source)
    assert (error.status_code, error.error_type, error.outcome) == (422, "invalid_plugin_path", "rejected")
    assert (
        error.message == f"The plugin_path '{source}' cannot be used: it contains more than 512 MiB (--max-debug-size)."
    )


@pytest.mark.parametrize(
    "name",
    [
        "my-module",
        "",
        " ",
        "1st",
        "class",
        "pack.class",
        "a b",
        "a..b",
        ".a",
        "a.",
        "../up",
        "/etc/cron",
        "a/b",
        "a\nb",
    ],
)
def test_a_module_name_that_is_none_is_refused(refuse, name):
    """No module's path leads out of the scratch folder."""
    error = refuse(modules={name: ""}, config=CONFIG)
    assert error.error_type == "invalid_module"
    assert error.message == f"The module {name!r} is not a module name such as 'my_plugin.processor'."


def test_a_module_within_modules_without_end_is_refused(refuse):
    """The message shows the beginning of its name."""
    error = refuse(modules={".".join(["deep"] * 5000): ""}, config=CONFIG)
    assert error.message.startswith("The module 'deep.deep.")
    assert error.message.endswith("…' has more than 100 parts.")


def test_folders_within_folders_without_end_are_refused(facade, ledger, source):
    """The limit is a hundred levels."""
    source.joinpath(*["in"] * 101).mkdir(parents=True)
    ledger.expect(jobs=1)
    error = facade.error("run_debug_plugin_release", "go", plugin_path=source)
    assert error.error_type == "invalid_plugin_path"
    assert error.message == (
        f"The plugin_path '{source}' cannot be used: it contains folders that are nested more than 100 deep."
    )


@pytest.mark.parametrize(("name", "hidden"), [("json", "json"), ("os.path", "os"), ("sys", "sys")])
def test_a_module_that_would_hide_pythons_own_is_refused(refuse, name, hidden):
    """The message names the module: otherwise the failure would occur far from its cause."""
    error = refuse(modules={name: ""}, config=CONFIG)
    assert error.message == (f"The module {name!r} would hide the standard library's {hidden!r}; rename it.")


@pytest.mark.parametrize(
    ("modules", "why"),
    [
        ({"a" * 300: ""}, "cannot be written: File name too long."),
        ({"notes.more": ""}, "cannot be written: File exists."),
        ({"main": "# \udcff"}, "contains half of a surrogate pair, which a file can't."),
    ],
)
def test_a_module_that_no_file_can_hold_is_refused(http, ledger, source, modules, why):
    """The answer is 422 with its name, and nothing ran. Plain HTTP, since the client refuses half a surrogate pair."""
    (source / "notes").write_text("a file, where the module needs a folder")
    ledger.expect(jobs=1)
    body = json.dumps({"action": "go", "plugin_path": str(source), "modules": modules})
    answer = http.post("/plugin_releases/run_debug/", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert detail["error_type"] == "invalid_module"
    assert detail["message"].endswith(why)
    assert len(detail["message"]) < 400


@pytest.mark.parametrize("way", ["modules", "folder"])
def test_a_syntax_error_names_file_and_line_as_the_user_knows_them(facade, ledger, source, way):
    """A module has its file's name, and a file in a folder its path, without the scratch folder."""
    text = "x = 1\ndef go(:\n    pass\n"
    ledger.expect(jobs=1)
    if way == "folder":
        (source / "main.py").write_text(text)
        error = facade.error("run_debug_plugin_release", "go", plugin_path=source)
    else:
        error = facade.error("run_debug_plugin_release", "go", modules={"main": text}, config=CONFIG)
    assert type(error) is ActionFailedError
    assert error.message == "SyntaxError: invalid syntax (main.py, line 2)"
    assert error.traceback.startswith('  File "main.py", line 2\n    def go(:\n')
    assert "/tmp/" not in error.traceback


@pytest.mark.parametrize("config", [{}, {"code": "half"}, {"actions": {}}, {"actions": None}])
def test_a_config_without_actions_gets_an_example(refuse, config):
    """`actions` may be missing, empty or null."""
    error = refuse(modules={"main": "def go(): pass"}, config=config)
    assert error.error_type == "unknown_action"
    assert error.message.endswith(
        "has no action 'go'. Its config has no `actions`, such as {train: {entrypoint: 'plugin.train:main'}}"
    )


def test_a_folder_without_a_config_is_refused_with_advice(refuse, source):
    """The message proposes to add one, or to send one."""
    (source / "config.yaml").unlink()
    error = refuse(plugin_path=source)
    assert error.message == f"The plugin_path '{source}' has no config.yaml: add one, or send `config`."


def test_an_empty_debug_run_is_refused_with_advice(refuse):
    """The call has no path, no modules and no config."""
    assert refuse().error_type == "unknown_action"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"actions": ["go"]}, "config.yaml: `actions` must be a mapping, not a list"),
        ({"actions": {"go": 7}}, "config.yaml: `actions.go` must be a mapping with an `entrypoint`, not 7"),
        ({"actions": {"go": {}}}, "config.yaml: `actions.go.entrypoint` is missing"),
        ({"actions": {"go": {"entrypoint": ["a"]}}}, "config.yaml: `actions.go.entrypoint` must be text, not a list"),
        ({"env": {"A=B": "1"}, **CONFIG}, "config.yaml: `env.A=B` is not a valid environment variable"),
    ],
)
def test_a_config_of_another_shape_names_the_key(refuse, config, said):
    """The message is the same as for a plugin's own file."""
    error = refuse(modules={"main": "def go(): pass"}, config=config)
    assert error.error_type == "invalid_plugin"
    assert error.message.startswith(said)
