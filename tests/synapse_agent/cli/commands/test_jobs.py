"""`jobs list|get|logs|stop|delete|wait`, piped."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from forked import PROGRAM, run

pytestmark = pytest.mark.usefixtures("known")


def test_jobs_are_listed_newest_first(cli) -> None:
    """The options select by number, state and position."""
    for name in ("list-1", "list-2"):
        cli("run", "tools@1.0.0", "echo", "--job-id", name)
    newest = json.loads(cli("jobs", "list", "--limit", "2").out)
    assert [job["job_id"] for job in newest] == ["list-2", "list-1"]
    assert json.loads(cli("jobs", "list", "--limit", "1", "--before", "list-2").out)[0]["job_id"] == "list-1"
    assert {job["status"] for job in json.loads(cli("jobs", "list", "--status", "succeeded").out)} == {"SUCCEEDED"}
    assert cli("jobs", "list", "--status", "lost").code == 2


def test_a_job_has_its_record_and_its_log(cli) -> None:
    """The log is always text; --json makes it a JSON string, and with --follow events."""
    cli("run", "tools@1.0.0", "talk", "--job-id", "logged")
    assert json.loads(cli("jobs", "get", "logged").out)["result"] == "said"
    log = cli("jobs", "logs", "logged")
    assert (log.code, log.out.splitlines()[0], log.err) == (0, "spoken, ünd", "")
    assert json.loads(cli("jobs", "logs", "--json", "logged").out) == log.out
    assert cli("jobs", "logs", "--follow", "logged").out.splitlines()[0] == "spoken, ünd"
    events = [json.loads(line) for line in cli("jobs", "logs", "-f", "--json", "logged").out.splitlines()]
    assert (events[0]["type"], events[-1]["type"]) == ("log", "complete")


@pytest.mark.parametrize(("encoding", "first"), [("ascii", "spoken, \\xfcnd"), ("cp437", "spoken, ünd")])
@pytest.mark.parametrize("options", [[], ["--follow"]], ids=" ".join)
def test_a_log_is_printed_whatever_stdout_takes(cli, encoding: str, first: str, options: list[str]) -> None:
    """Characters that stdout can't encode are escaped."""
    cli("run", "tools@1.0.0", "talk", "--job-id", "printed-anywhere")
    command = [*PROGRAM, "jobs", "logs", *options, "printed-anywhere"]
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    ended = run(command, env=env, capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout.decode(encoding)) == (0, f"{first}\n\\ufffd\n")


def test_a_job_is_stopped(cli, tmp_path: Path) -> None:
    """Its record shows it; a command that waits for it fails."""
    cli(
        "run", "tools@1.0.0", "wait_in_background", "-p", f"path={tmp_path / 'never'}", "--job-id", "stopped-by-command"
    )
    stopped = cli("jobs", "stop", "stopped-by-command")
    assert (stopped.code, json.loads(stopped.out)["status"]) == (0, "STOPPED")
    waited = cli("jobs", "wait", "stopped-by-command")
    assert (waited.code, waited.out) == (1, "")
    assert waited.err.endswith("'synapse-agent jobs logs stopped-by-command' has its log.\n")


def test_a_job_is_deleted(cli, tmp_path: Path) -> None:
    """A running job is refused with a fix; a finished one is deleted, and stdout stays empty."""
    cli("run", "tools@1.0.0", "wait", "-p", f"path={tmp_path / 'never'}", "--job-id", "deleted", "--background")
    refused = cli("jobs", "delete", "deleted")
    assert (refused.code, refused.out) == (2, "")
    assert "Stop it or wait for its end before deleting it." in refused.err
    cli("jobs", "stop", "deleted")
    gone = cli("jobs", "delete", "deleted")
    assert (gone.code, gone.out, gone.err) == (0, "", "Deleted job deleted.\n")
    assert cli("jobs", "get", "deleted").code == 3


def test_waiting_brings_the_result_and_shows_the_log(cli, tmp_path: Path) -> None:
    """`jobs wait` prints the same as `run`."""
    go = tmp_path / "go"
    cli("run", "tools@1.0.0", "narrate", "-p", f"path={go}", "--job-id", "waited-for")
    threading.Timer(0.2, go.touch).start()
    waited = cli("jobs", "wait", "waited-for")
    assert (waited.code, json.loads(waited.out)) == (0, None)
    assert "line 0" in waited.err


def test_a_missing_job_is_an_error_with_advice(cli) -> None:
    """The exit code is 3."""
    for command in (["get"], ["logs"], ["logs", "-f"], ["stop"], ["delete"], ["wait"]):
        missing = cli("jobs", *command, "absent")
        assert (missing.code, missing.out) == (3, "")
        assert missing.err == (
            "synapse-agent: The job 'absent' was not found on this agent. 'synapse-agent jobs list' shows the jobs.\n"
        )


def test_a_job_is_named_by_the_beginning_of_its_id(cli) -> None:
    """A unique prefix; complete IDs take precedence over longer ones that begin with them."""
    for name in ("short-a1", "short-b", "short-b2"):
        cli("run", "tools@1.0.0", "echo", "--job-id", name)
    assert json.loads(cli("jobs", "get", "short-a").out)["job_id"] == "short-a1"
    assert json.loads(cli("jobs", "get", "short-b").out)["job_id"] == "short-b"
    several = cli("jobs", "get", "short-")
    assert (several.code, several.out) == (2, "")
    assert "Several jobs begin with short-: short-b2, short-b, short-a1. Add characters." in several.err
    assert "no-such" in cli("jobs", "get", "no-such").err


def test_jobs_are_listed_by_release_action_and_time(cli) -> None:
    """Times are local, and filters can be combined."""
    cli("run", "tools@1.0.0", "talk", "--job-id", "filtered")
    listed = cli("jobs", "list", "--release", "tools@1.0.0", "--action", "talk", "--since", "2020-01-01")
    assert "filtered" in [job["job_id"] for job in json.loads(listed.out)]
    assert json.loads(cli("jobs", "list", "--release", "tools@9").out) == []
    assert json.loads(cli("jobs", "list", "--until", "2020-01-01T12:00").out) == []


def test_a_part_of_a_log_is_printed(cli) -> None:
    """The options select the last lines or the output since a time, for a log that may still grow."""
    cli("run", "tools@1.0.0", "narrate", "--wait", "-p", "lines=5", "--job-id", "in-parts")
    assert cli("jobs", "logs", "in-parts", "--tail", "2").out == "line 4\nno end"
    assert cli("jobs", "logs", "in-parts", "--since", "2020-01-01").out == cli("jobs", "logs", "in-parts").out
    assert cli("jobs", "logs", "in-parts", "--since", "2120-01-01").out == ""
    assert cli("jobs", "logs", "-f", "in-parts", "--tail", "2").code == 2


def test_all_of_a_long_log_goes_into_a_pipe(cli) -> None:
    """No line is lost, however much is left when the result arrives."""
    lines = 60_000
    ended = cli("run", "tools@1.0.0", "narrate_fast", "--wait", "-p", f"lines={lines}", "--job-id", "long-log")
    assert (ended.code, ended.out) == (0, "null\n")
    assert ended.err.splitlines()[-1] == f"line {lines - 1}"
    assert len(ended.err.splitlines()) >= lines
