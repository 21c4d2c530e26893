"""`run` and `debug`, piped."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pytest

CONFIG = "code: small\nversion: 1.10\nactions: {go: {entrypoint: 'plugin.main:go', method: local}}\n"
MAIN = "from pathlib import Path\nfrom plugin import helper\n\ndef go(name='nobody'):\n    return helper.greet(name)\n"

pytestmark = pytest.mark.usefixtures("known")


@pytest.fixture
def source(tmp_path: Path, write_plugin) -> Path:
    """A plugin's folder with a package, a file that is not Python, and files that are not part of it."""
    files = {
        "config.yaml": CONFIG,
        "plugin/__init__.py": "",
        "plugin/main.py": MAIN,
        "plugin/helper.py": "def greet(name):\n    return f'Hello, {name}'\n",
        "notes.txt": "",
        "calendar.py": "",
        ".git/config": "",
    }
    return write_plugin(tmp_path / "source", files)


def test_a_result_is_json_on_stdout(cli) -> None:
    """Stdout has any JSON value, and nothing else."""
    for value in (1, "text", None, [1, {"a": "ünd"}], {"nested": {"deep": [True]}}):
        ended = cli("run", "tools@1.0.0", "echo", "--params", json.dumps({"value": value}))
        assert (ended.code, json.loads(ended.out), ended.err) == (0, value, "")


def test_params_come_from_json_a_file_stdin_and_one_by_one(cli, tmp_path: Path, monkeypatch) -> None:
    """`-p` overrides keys of the object; a value that is not JSON is text."""
    (tmp_path / "params.json").write_text('{"value": "from a file"}')
    assert (
        json.loads(cli("run", "tools@1.0.0", "echo", "--params", f"@{tmp_path / 'params.json'}").out) == "from a file"
    )
    monkeypatch.setattr("sys.stdin", io.StringIO('{"value": "from stdin"}'))
    assert json.loads(cli("run", "tools@1.0.0", "echo", "--params", "-").out) == "from stdin"
    assert json.loads(cli("run", "tools@1.0.0", "echo", "--params", '{"value": 1}', "-p", "value=Ada").out) == "Ada"


def test_values_are_printed_a_line_each(cli, source: Path) -> None:
    """This covers generators in releases, folders and debug runs; any other result is one value."""
    (source / "plugin" / "helper.py").write_text(
        "def greet(name):\n    for letter in name:\n        yield {letter: 1}\n"
    )
    ended = cli("run", str(source), "go", "--stream", "-p", "name=ab")
    assert (ended.code, ended.out) == (0, '{"a": 1}\n{"b": 1}\n')
    assert cli("debug", str(source), "go", "--stream", "-p", "name=ab").out == ended.out
    plain = cli("run", "tools@1.0.0", "echo", "--stream", "-p", "value=[1]")
    assert (plain.code, plain.out) == (0, "[1]\n")
    refused = cli("run", "tools@1.0.0", "echo", "--stream", "--background")
    assert "--stream waits for the result, --background does not" in refused.err


def test_what_a_job_reports_goes_to_stderr(cli) -> None:
    """Lines of its log, events and progress are a line each; --quiet omits them."""
    ended = cli("run", "tools@1.0.0", "narrate", "--wait", "-p", "lines=2")
    assert (ended.code, json.loads(ended.out)) == (0, None)
    for line in ("line 0", "line: {'number': 0}", "line 1", "no end", "progress: 2 of 2"):
        assert ended.err.splitlines().count(line) == 1
    quiet = cli("run", "tools@1.0.0", "narrate", "--wait", "--quiet")
    assert (quiet.code, quiet.err) == (0, "")


def test_an_action_in_the_background_is_answered_with_its_job(cli) -> None:
    """The note shows how to follow it."""
    ended = cli("run", "tools@1.0.0", "narrate", "--job-id", "background")
    assert json.loads(ended.out)["job_id"] == "background"
    expected = "The job runs in the background. 'synapse-agent jobs logs -f background' follows it."
    assert ended.err.splitlines()[-1] == expected
    assert cli("jobs", "wait", "background").code == 0


def test_a_failed_action_is_one_line(cli) -> None:
    """The exit code is 1; the line has the command for its log, --verbose adds the traceback and the request's data."""
    failed = cli("run", "tools@1.0.0", "fail", "-p", "message=too late", "--job-id", "failed-here")
    assert (failed.code, failed.out) == (1, "")
    assert failed.err == (
        "synapse-agent: The action failed: ValueError: too late. "
        "'synapse-agent jobs logs failed-here' has its log, --verbose shows the traceback.\n"
    )
    told = cli("run", "tools@1.0.0", "fail", "--verbose")
    assert told.err.startswith("synapse-agent: The action failed: ValueError: no.")
    for fact in (
        "Traceback (most recent call last):",
        "ActionFailedError, outcome executed",
        "request id: ",
        "attempt 1: 500",
    ):
        assert fact in told.err


def test_a_refused_run_is_a_wrong_call(cli) -> None:
    """An unknown action, an invalid parameter, and a job ID that is in use: exit code 2."""
    assert cli("run", "tools@1.0.0", "echo", "--job-id", "taken-by-command").code == 0
    for arguments, said in (
        (["nothing"], "'synapse-agent get tools@1.0.0' shows its actions."),
        (["echo", "-p", "colour=red"], "Nothing ran. Fix the call and try again."),
        (
            ["echo", "-p", "value=1", "--job-id", "taken-by-command"],
            "'synapse-agent jobs get JOB_ID' shows the job.",
        ),
    ):
        refused = cli("run", "tools@1.0.0", *arguments)
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.endswith(f"{said}\n")
        assert len(refused.err.splitlines()) == 1


def test_what_an_earlier_job_of_that_id_printed_is_not_shown(cli) -> None:
    """A run that is refused because its job ID is in use does not show that job's log."""
    assert "spoken, ünd" in cli("run", "tools@1.0.0", "talk", "--job-id", "spoken").err.splitlines()
    assert "spoken, ünd" not in cli("run", "tools@1.0.0", "echo", "--job-id", "spoken").err


def test_a_time_limit_of_the_caller_leaves_the_job_alone(cli, tmp_path: Path) -> None:
    """The exit code is 6; the message has the command that waits for it, and that works."""
    path = tmp_path / "go"
    late = cli("run", "tools@1.0.0", "wait", "-p", f"path={path}", "--job-id", "late", "--timeout", "1")
    assert (late.code, late.out) == (6, "")
    assert "'synapse-agent jobs wait late' waits for it" in late.err
    threading.Timer(0.2, path.touch).start()
    assert json.loads(cli("jobs", "wait", "late").out) == "waited"


def test_an_agent_that_sees_the_same_files_reads_the_folder(cli, source: Path) -> None:
    """The agent proves that by returning a file's content; the file is removed, and no job results from it."""
    listed = cli("jobs", "list", "--limit", "1000")
    assert listed.code == 0, listed.err
    before = len(json.loads(listed.out))
    ended = cli("debug", str(source), "go", "-p", "name=Ada")
    assert (ended.code, json.loads(ended.out), ended.err) == (0, "Hello, Ada", "")
    assert len(json.loads(cli("jobs", "list", "--limit", "1000").out)) == before + 1


def test_source_is_sent_to_any_other(cli, source: Path) -> None:
    """A note names files that can't be sent."""
    ended = cli("debug", "--send-source", str(source), "go")
    assert (ended.code, json.loads(ended.out)) == (0, "Hello, nobody")
    assert ended.err == "Only Python source is sent. Not sent: calendar.py, notes.txt\n"


def test_a_folder_that_is_no_plugin_is_a_wrong_call(cli, tmp_path: Path) -> None:
    """The command reports it before it sends anything."""
    assert "is not a folder. Pass the plugin's folder" in cli("debug", str(tmp_path / "nowhere"), "go").err
    assert "has no config.yaml" in cli("debug", str(tmp_path), "go").err
    (tmp_path / "config.yaml").write_text("a: [")
    broken = cli("debug", "--send-source", str(tmp_path), "go")
    assert broken.code == 2
    assert "config.yaml is not YAML" in broken.err


def test_any_action_goes_to_the_background(cli, tmp_path: Path) -> None:
    """`--background` prints the job at once, for any method of the action; `jobs wait` returns the result."""
    go = tmp_path / "go"
    started = cli("run", "tools@1.0.0", "wait", "-p", f"path={go}", "--job-id", "behind", "--background")
    assert (started.code, json.loads(started.out)["job_id"]) == (0, "behind")
    assert "'synapse-agent jobs logs -f behind' follows it." in started.err
    go.touch()
    assert json.loads(cli("jobs", "wait", "behind").out) == "waited"


def test_a_run_is_waited_for_or_not(cli) -> None:
    """--wait and --background together are a usage error."""
    both = cli("run", "tools@1.0.0", "echo", "--wait", "--background")
    assert (both.code, both.out) == (2, "")
    assert "Remove one of them" in both.err
