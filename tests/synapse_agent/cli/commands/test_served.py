"""`served list|get|delete`, piped and on a terminal."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from synapse_agent.cli.exit_codes import ExitCode
from synapse_agent.cli.terminal import views

pytestmark = pytest.mark.usefixtures("known")


def test_served_actions_are_shown_and_ended(cli) -> None:
    """A call starts the worker; stopping it is reported, and a stopped name is not found."""
    for left in json.loads(cli("served", "list").out):  # by another test
        assert cli("served", "delete", left["name"]).code == 0
    assert json.loads(cli("served", "list").out) == []
    assert json.loads(cli("run", "tools@1.0.0", "served_echo", "-p", "value=1").out) == 1
    (served,) = json.loads(cli("served", "list").out)
    assert (served["name"], served["calls"], len(served["workers"])) == ("tools@1.0.0:served_echo", 1, 1)
    assert json.loads(cli("served", "get", served["name"]).out)["since"] == served["since"]
    ended = cli("served", "delete", served["name"])
    assert (ended.code, ended.out, ended.err) == (0, "", "Stopped the workers of tools@1.0.0:served_echo.\n")
    again = cli("served", "delete", served["name"])
    assert again.code == ExitCode.NOT_FOUND
    assert "'synapse-agent served list' shows the served actions." in again.err


def test_served_actions_are_a_table_on_a_terminal() -> None:
    """Each has a row; without any, the output has what starts one."""
    console = Console(width=120, record=True, file=io.StringIO())
    workers = [{"status": "IDLE", "node_id": None, "calls": 41, "memory": None}]
    since = "2026-11-22T14:53:00.123456+00:00"
    found = {"name": "m@1:predict", "status": "RUNNING", "workers": workers, "calls": 41, "waiting": 0, "since": since}
    console.print(views.served([found]))
    console.print(views.served([]))
    shown = console.export_text()
    assert "m@1:predict" in shown
    assert "RUNNING" in shown
    assert "`method: serve`" in shown
