"""Debug runs over HTTP: from a folder, from modules, from both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from synapse_agent import EmbeddedAgent

ClientOf = Callable[[EmbeddedAgent], httpx.Client]
GREET = {"actions": {"greet": {"entrypoint": "hello:greet", "method": "local"}}}
SOURCE = "def greet(name='you'):\n    return f'Hello, {name}'\n"


def debug(http: httpx.Client, **body: Any) -> httpx.Response:
    return http.post("/plugin_releases/run_debug/", json=body)


def test_the_documented_call_runs(http: httpx.Client, tmp_path: Path, write_plugin: Any) -> None:
    """It has a folder, a config that is merged into the folder's, a replaced module, a requirement and a job ID."""
    config = "code: my_plugin\nversion: 1.0.0\nactions: {process: {entrypoint: 'my_plugin.processor:Processor'}}\n"
    files = {"config.yaml": config, "my_plugin/__init__.py": "", "my_plugin/processor.py": "broken"}
    processor = "class Processor:\n    def process(self, input):\n        import six\n        return [input, six.PY3]\n"
    answer = debug(
        http,
        action="process",
        params={"input": "test"},
        plugin_path=str(write_plugin(tmp_path, files)),
        config={"debug": True},
        modules={"my_plugin.processor": processor},
        requirements=["six"],
        job_id="debug_job_123",
    )
    assert answer.json() == ["test", True]
    record = http.get("/jobs/debug_job_123/").json()
    assert (record["release"], record["method"], record["status"]) == (None, "task", "SUCCEEDED")
    assert (tmp_path / "my_plugin" / "processor.py").read_text() == "broken"


def test_source_alone_is_enough(http: httpx.Client) -> None:
    """The request has the whole config, without a code or a version; no release results from it."""
    before = http.get("/plugin_releases/").json()["count"]
    answer = debug(http, action="greet", params={"name": "Ada"}, config=GREET, modules={"hello": SOURCE})
    assert answer.json() == "Hello, Ada"
    assert http.get("/plugin_releases/").json()["count"] == before


def test_keys_that_belong_elsewhere_are_named_in_the_log(http: httpx.Client) -> None:
    """The run continues without them: a config may be made for other agents as well."""
    action = {**GREET["actions"]["greet"], "retries": 3}
    config = {"actions": {"greet": action, "other": {"retries": 3}}, "requirements": ["six"], "data_type": "image"}
    answer = debug(http, action="greet", config=config, modules={"hello": SOURCE}, job_id="misplaced")
    assert answer.json() == "Hello, you"
    of_plugin, of_action = http.get("/jobs/misplaced/logs/").text.splitlines()
    assert of_plugin.startswith("config: 'requirements' has no effect: ")
    assert of_plugin.endswith("or into the call's `requirements`.")
    assert of_action.startswith("config: 'actions.greet.retries' has no effect: `retryable: true`")


def test_a_folder_alone_is_enough(http: httpx.Client, tmp_path: Path, write_plugin: Any) -> None:
    """It runs by its own config."""
    write_plugin(tmp_path)
    assert debug(http, action="go", plugin_path=str(tmp_path)).json() == "small@1.0.0"


def test_modules_become_packages_if_others_are_below_them(http: httpx.Client) -> None:
    """With `pkg.sub`, `pkg` becomes a package; so does every folder above a module."""
    modules = {
        "hello": "from pkg import top\nfrom pkg.sub.leaf import leaf\nimport far.away.there\n"
        "def greet(): return [top, leaf]",
        "pkg": "top = 'top'",
        "pkg.sub.leaf": "leaf = 'leaf'",
        "far.away.there": "",
    }
    assert debug(http, action="greet", config=GREET, modules=modules).json() == ["top", "leaf"]


def test_modules_hide_what_the_folder_has_under_their_names(
    http: httpx.Client, tmp_path: Path, write_plugin: Any
) -> None:
    """A module replaces the code of a package; a package in place of a module keeps the module's code."""
    files = {
        "config.yaml": "code: x\nactions: {go: 'main:go'}",
        "main.py": "import one, two\nfrom two import three\ndef go(): return [one.value, two.value, three.value]",
        "one/__init__.py": "value = 'old'",
        "two.py": "value = 'kept'",
    }
    modules = {"one": "value = 'new'", "two.three": "value = 'added'"}
    answer = debug(http, action="go", plugin_path=str(write_plugin(tmp_path, files)), modules=modules)
    assert answer.json() == ["new", "kept", "added"]


def test_a_config_is_merged_key_by_key(http: httpx.Client, tmp_path: Path, write_plugin: Any) -> None:
    """Only the passed keys of an action change; other actions stay."""
    files = {
        "config.yaml": "code: x\nactions: {go: {entrypoint: 'main:go', method: job}, stay: 'main:go'}",
        "main.py": "def go(): return 'went'",
    }
    folder = str(write_plugin(tmp_path, files))
    config = {"actions": {"go": {"method": "local"}}}
    assert debug(http, action="go", plugin_path=folder, config=config).json() == "went"
    assert debug(http, action="stay", plugin_path=folder, config=config).json() == "went"
    assert debug(http, action="go", plugin_path=folder).status_code == 202


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..b", "a/b", "../up", "a-b", "1a", "class", "a.import", "/abs", "a.b.", "json", "os.path", "a\0b"],
)
def test_a_module_name_that_is_none_is_refused(http: httpx.Client, name: str) -> None:
    """The answer is 422 `invalid_module` with the name: an invalid identifier, a path, or a standard module."""
    answer = debug(http, action="greet", config=GREET, modules={"hello": SOURCE, name: ""})
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (422, "invalid_module")
    assert answer.json()["detail"]["module"] == name


@pytest.mark.parametrize("kind", ["missing", "file", "nul", "device"])
def test_a_plugin_path_that_is_no_folder_is_refused(http: httpx.Client, tmp_path: Path, kind: str) -> None:
    """The answer is 422 `invalid_plugin_path` with the path."""
    (tmp_path / "file").touch()
    path = {"missing": str(tmp_path / "none"), "file": str(tmp_path / "file"), "nul": "a\0b", "device": "/dev/null"}[
        kind
    ]
    answer = debug(http, action="go", plugin_path=path, config=GREET)
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (422, "invalid_plugin_path")


def test_links_that_stay_inside_are_kept(http: httpx.Client, tmp_path: Path, write_plugin: Any) -> None:
    """Loops of links do no harm, and a link to a module works."""
    files = {"config.yaml": "code: x\nactions: {go: 'alias:go'}", "main.py": "def go(): return 'linked'"}
    write_plugin(tmp_path, files)
    (tmp_path / "alias.py").symlink_to("main.py")
    (tmp_path / "here").symlink_to(".")
    (tmp_path / "round").symlink_to("about")
    (tmp_path / "about").symlink_to("round")
    assert debug(http, action="go", plugin_path=str(tmp_path)).json() == "linked"


@pytest.mark.parametrize("target", ["/etc/hostname", "../..", "sub/../../x"])
def test_a_link_that_leads_out_is_refused(http: httpx.Client, tmp_path: Path, write_plugin: Any, target: str) -> None:
    """The answer is 422 with the link and its target, and the job has failed."""
    write_plugin(tmp_path)
    (tmp_path / "way_out").symlink_to(target)
    answer = debug(http, action="go", plugin_path=str(tmp_path), job_id=f"out {target}")
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (422, "invalid_plugin_path")
    assert "way_out" in answer.json()["detail"]["message"]


def test_a_pipe_in_the_folder_is_left_out(http: httpx.Client, tmp_path: Path, write_plugin: Any) -> None:
    """Reading it would take forever."""
    write_plugin(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    answer = debug(http, action="go", plugin_path=str(tmp_path))
    assert (answer.status_code, answer.json()) == (200, "small@1.0.0")


def test_version_control_caches_and_environments_are_left_out(
    http: httpx.Client, tmp_path: Path, write_plugin: Any
) -> None:
    """The scratch folder has only the plugin's own files."""
    files = {
        "config.yaml": "code: x\nactions: {go: 'main:go'}",
        "main.py": "import os\ndef go(): return sorted(os.listdir())",
        ".git/HEAD": "",
        "env/pyvenv.cfg": "",
        "__pycache__/main.pyc": "",
        "data/.hidden": "",
    }
    answer = debug(http, action="go", plugin_path=str(write_plugin(tmp_path, files)))
    assert answer.json() == ["config.yaml", "data", "main.py"]


@pytest.mark.parametrize("with_folder", [True, False])
def test_a_failure_names_files_as_the_caller_knows_them(
    http: httpx.Client, tmp_path: Path, write_plugin: Any, with_folder: bool
) -> None:
    """Paths in a traceback are relative to the plugin; those in a message begin with `plugin_path`, if it is set."""
    source = "def greet():\n    raise RuntimeError(__file__)\n"
    body: dict[str, Any] = {"plugin_path": str(write_plugin(tmp_path))} if with_folder else {}
    detail = debug(http, action="greet", config=GREET, modules={"hello": source}, **body).json()["detail"]
    assert 'File "hello.py", line 2' in detail["traceback"]
    assert detail["exception_message"] == (str(tmp_path / "hello.py") if with_folder else "hello.py")


def test_null_is_not_absent(http: httpx.Client) -> None:
    """Unlike in a legacy payload, `null` is 422."""
    answer = debug(http, action="greet", config=GREET, modules={"hello": SOURCE}, plugin_path=None)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:2] == ["body", "plugin_path"]


def test_nothing_is_left_of_a_debug_run(plugins: Path, tmp_path: Path, client_of: ClientOf) -> None:
    """The scratch folder is removed after success, failure and refusal."""
    with EmbeddedAgent(plugins, data_dir=tmp_path / "data") as agent:
        http = client_of(agent)
        answers = [
            debug(http, action="greet", config=GREET, modules={"hello": SOURCE}),
            debug(http, action="greet", config=GREET, modules={"hello": "raise OSError"}),
            debug(http, action="greet", config=GREET, plugin_path=str(tmp_path / "data")),
        ]
        assert [answer.status_code == 200 for answer in answers] == [True, False, False]
        assert list((tmp_path / "data" / "tmp").iterdir()) == []


def test_a_debug_job_attaches_by_its_source(http: httpx.Client) -> None:
    """The same source with the same job ID is the same run, other source a conflict."""
    body: dict[str, Any] = {"action": "greet", "config": GREET, "modules": {"hello": SOURCE}, "job_id": "debugged"}
    first, second = debug(http, **body), debug(http, **body)
    other = debug(http, **{**body, "modules": {"hello": SOURCE + "\n"}})
    assert [first.json(), second.json(), other.status_code] == ["Hello, you", "Hello, you", 409]


def test_below_a_debug_root_folders_are_taken_and_others_are_not(
    plugins: Path, tmp_path: Path, client_of: ClientOf, write_plugin: Any
) -> None:
    """Outside the roots the answer is 403, after links and `..` are resolved, whether the path exists or not."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    write_plugin(root / "inside")
    write_plugin(outside)
    write_plugin(tmp_path / "root-of-another-name")
    (root / "way-out").symlink_to(outside)
    (root / "round").symlink_to("inside")
    (outside / "way-in").symlink_to(root / "inside")
    with EmbeddedAgent(plugins, debug_roots=(root,)) as agent:
        http = client_of(agent)
        for path in ("root/inside", "root/../root/inside", "root/round", "outside/way-in"):
            assert debug(http, action="go", plugin_path=str(tmp_path / path)).json() == "small@1.0.0"
        for path in (
            "outside",
            "root/way-out",
            "root/../outside",
            "root-of-another-name",
            "none",
            "root/inside/../../x",
        ):
            answer = debug(http, action="go", plugin_path=str(tmp_path / path))
            assert (answer.status_code, answer.json()["detail"]["error_type"]) == (403, "debug_not_allowed"), path
            assert "--debug-root" in answer.json()["detail"]["message"]
        for path in ("none", "inside/main.py", "a\0b"):
            answer = debug(http, action="go", plugin_path=f"{root}/{path}")
            assert (answer.status_code, answer.json()["detail"]["error_type"]) == (422, "invalid_plugin_path")
        assert debug(http, action="greet", config=GREET, modules={"hello": SOURCE}).json() == "Hello, you"


def test_a_link_to_a_debug_root_is_that_root(
    plugins: Path, tmp_path: Path, client_of: ClientOf, write_plugin: Any
) -> None:
    """The operator may configure any of its names."""
    write_plugin(tmp_path / "real" / "inside")
    (tmp_path / "linked").symlink_to("real")
    with EmbeddedAgent(plugins, debug_roots=(tmp_path / "linked",)) as agent:
        http = client_of(agent)
        for name in ("real", "linked"):
            assert debug(http, action="go", plugin_path=str(tmp_path / name / "inside")).json() == "small@1.0.0"


def test_a_config_that_is_a_link_out_is_not_read(http: httpx.Client, tmp_path: Path, write_plugin: Any) -> None:
    """Errors don't show its content, either."""
    (tmp_path / "secret").write_text("password: [x")
    folder = write_plugin(tmp_path / "plugin", {"main.py": "def go(): return 1"})
    (folder / "config.yaml").symlink_to("../secret")
    answer = debug(http, action="go", plugin_path=str(folder))
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (422, "invalid_plugin_path")
    assert "password" not in answer.text


@pytest.fixture(scope="module")
def remote(plugins: Path) -> Iterator[Callable[..., httpx.Client]]:
    """Start agents that listen on all addresses, and yield clients of them."""
    with ExitStack() as stack:

        def start(**settings: Any) -> httpx.Client:
            agent = stack.enter_context(EmbeddedAgent(plugins, host="0.0.0.0", **settings))
            headers = {"Authorization": agent.token}
            return stack.enter_context(httpx.Client(base_url=agent.base_url, headers=headers, trust_env=False))

        yield start


def test_beyond_loopback_no_debug_run_is_taken(remote: Callable[..., httpx.Client], tmp_path: Path) -> None:
    """The answer is 403 `debug_not_allowed`, with the option that allows them; releases run as usual."""
    http = remote()
    for body in ({"modules": {"hello": SOURCE}}, {"plugin_path": str(tmp_path)}):
        answer = debug(http, action="greet", config=GREET, **body)
        assert (answer.status_code, answer.json()["detail"]["error_type"]) == (403, "debug_not_allowed")
        assert "--allow-debug" in answer.json()["detail"]["message"]
    assert http.get("/jobs/").json() == []
    http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"}).raise_for_status()
    assert http.post("/plugin_releases/1/run/", json={"action": "echo", "params": {"value": 1}}).json() == 1


def test_beyond_loopback_a_folder_needs_a_root(
    remote: Callable[..., httpx.Client], tmp_path: Path, write_plugin: Any
) -> None:
    """If debug runs are allowed, source in the request is accepted; a folder must be below a root."""
    write_plugin(tmp_path / "plugin")
    http = remote(allow_debug=True)
    assert debug(http, action="greet", config=GREET, modules={"hello": SOURCE}).json() == "Hello, you"
    assert debug(http, action="go", plugin_path=str(tmp_path / "plugin")).status_code == 403
    http = remote(allow_debug=True, debug_roots=(tmp_path,))
    assert debug(http, action="go", plugin_path=str(tmp_path / "plugin")).json() == "small@1.0.0"


def test_debug_runs_can_be_done_without_on_loopback(plugins: Path, client_of: ClientOf) -> None:
    """An operator needs this behind a proxy that others can reach."""
    with EmbeddedAgent(plugins, allow_debug=False) as agent:
        answer = debug(client_of(agent), action="greet", config=GREET, modules={"hello": SOURCE})
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (403, "debug_not_allowed")
