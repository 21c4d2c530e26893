"""What users see on a real terminal, read through an emulator."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

from synapse_agent import EmbeddedAgent

MOVES = re.compile(rb"\x1b\[\d*[ABJK]|\x1b\[\?25l|\r[^\n]")
COLOURS = re.compile(rb"\x1b\[[0-9;]*3[0-7]m")


def test_a_terminal_shows_tables_and_trees(on_terminal) -> None:
    """A list is a table, a release a tree, a text is printed unchanged; with --json all are JSON."""
    code, listed = on_terminal("list", "--plugin", "tools").ended()
    assert code == 0
    assert listed.splitlines()[0].split() == ["ID", "Release", "Actions", "Cached"]
    assert "tools@1.0.0  Tools" in listed
    _, release = on_terminal("get", "tools@1.0.0").ended()
    assert "├── actions" in release
    assert "echo  local  Gives back what it gets." in release
    assert on_terminal("run", "tools@1.0.0", "echo", "-p", "value=as it is").ended()[1] == "as it is"
    assert on_terminal("get", "tools@1.0.0", "--json", lines=400).ended()[1].startswith("{")


def test_a_list_of_like_objects_is_a_table(on_terminal) -> None:
    """Each object is a row; nested values are trees."""
    rows = '{"value": [{"name": "Ada", "born": 1815}, {"name": "Grace", "born": 1906}]}'
    _, shown = on_terminal("run", "tools@1.0.0", "echo", "--params", rows).ended()
    assert [line.split() for line in shown.splitlines()] == [["name", "born"], ["Ada", "1815"], ["Grace", "1906"]]
    _, nested = on_terminal("run", "tools@1.0.0", "echo", "--params", '{"value": {"a": {"b": [1, 2]}}}').ended()
    assert "a: 1 key" in nested
    assert "b: [1, 2]" in nested


def test_progress_moves_on_a_terminal_and_is_gone_in_the_end(on_terminal, tmp_path: Path) -> None:
    """A bar shows progress during the action; only the log's lines and the result remain."""
    go = tmp_path / "go"
    terminal = on_terminal("run", "tools@1.0.0", "narrate", "--wait", "-p", f"path={go}", "-p", "lines=3")
    terminal.until(lambda screen: "100%" in screen and "tools@1.0.0 narrate" in screen and "line 2" in screen)
    go.touch()
    code, screen = terminal.ended()
    assert code == 0
    assert "100%" not in screen
    assert {"line 0", "line 1", "line 2", "line: {'number': 2}"} <= set(screen.splitlines())
    assert screen.endswith("no end\nnull")


def test_nothing_moves_if_stderr_is_not_a_terminal(on_terminal) -> None:
    """NO_COLOR removes colors, --quiet all output on stderr."""
    piped = on_terminal("run", "tools@1.0.0", "narrate", "--wait", more={"TERM": "dumb"})
    assert piped.ended()[0] == 0
    assert not MOVES.search(piped.written)
    plain = on_terminal("jobs", "list", more={"NO_COLOR": "1"})
    assert plain.ended()[0] == 0
    assert not COLOURS.search(plain.written)
    assert COLOURS.search(_shown(on_terminal("jobs", "list")))
    quiet = on_terminal("run", "tools@1.0.0", "narrate", "--wait", "--quiet")
    assert quiet.ended() == (0, "null")
    assert not MOVES.search(quiet.written)


def _shown(terminal) -> bytes:
    terminal.ended()
    return bytes(terminal.written)


def test_escape_sequences_of_a_plugin_do_nothing(on_terminal) -> None:
    """Sequences in results and logs don't set a title, clear the screen or change a color."""
    wicked = '{"value": "a\\u001b]0;title\\u0007b\\u001b[2Jc\\u001b[31md"}'
    terminal = on_terminal("run", "tools@1.0.0", "echo", "--params", wicked)
    assert terminal.ended() == (0, "abcd")
    assert b"title" not in terminal.written


def test_ctrl_c_stops_the_job_and_reports_it(on_terminal, known: EmbeddedAgent, tmp_path: Path) -> None:
    """The exit code is 130, and the job is stopped."""
    path = str(tmp_path / "never")
    terminal = on_terminal("run", "tools@1.0.0", "wait", "-p", f"path={path}", "-p", "seconds=60", "--job-id", "ctrl-c")
    terminal.until(lambda _: Path(path + ".started").exists())
    terminal.press("\x03")
    terminal.until(lambda screen: "Asking the agent to stop job ctrl-c. Press Ctrl-C again to leave at once." in screen)
    code, screen = terminal.ended()
    assert code == 130
    assert "synapse-agent: The job ctrl-c was stopped. 'synapse-agent jobs logs ctrl-c' has its log." in _joined(screen)
    with known.client() as client:
        assert client.get_job("ctrl-c")["status"] == "STOPPED"


def test_a_second_ctrl_c_leaves_at_once(on_terminal, plugins: Path, tmp_path: Path) -> None:
    """The command does not wait until the job, which ignores the stop, has ended."""
    path = tmp_path / "child"
    with EmbeddedAgent(plugins, grace=3.0, allow_write=tmp_path) as agent, agent.client() as client:
        client.create_plugin_release("tools", "1.0.0")
        reached = {"SYNAPSE_AGENT_URL": agent.base_url, "SYNAPSE_AGENT_TOKEN": agent.token}
        arguments = ("run", "tools@1.0.0", "linger", "--wait", "-p", f"path={path}", "--job-id", "twice")
        terminal = on_terminal(*arguments, more=reached)
        terminal.until(lambda _: path.exists() and path.read_text() != "")
        terminal.press("\x03")
        terminal.until(lambda screen: "Asking the agent to stop job twice" in screen)
        terminal.press("\x03")
        code, screen = terminal.ended()
        assert (code, client.get_job("twice")["status"]) == (130, "RUNNING")
        assert "Stopped waiting for job twice to stop; it may still run." in _joined(screen)
        assert client.stop_job("twice")["status"] == "STOPPED"


def test_ctrl_c_while_waiting_for_a_job_leaves_the_job_alone(on_terminal, known: EmbeddedAgent, tmp_path: Path) -> None:
    """The job keeps running, and the message states that."""
    path = str(tmp_path / "never")
    with known.client() as client:
        client.run_plugin_release("tools@1.0.0", "wait_in_background", params={"path": path}, job_id="left-by-command")
        terminal = on_terminal("jobs", "wait", "left-by-command")
        terminal.until(lambda screen: "tools@1.0.0 wait_in_background" in screen)
        terminal.press("\x03")
        code, screen = terminal.ended()
        assert (code, client.get_job("left-by-command")["status"]) == (130, "RUNNING")
        text = "Job left-by-command is still running. 'synapse-agent jobs stop left-by-command' stops it."
        assert text in _joined(screen)
        client.stop_job("left-by-command")


def test_ctrl_c_works_in_a_pipe(on_terminal, tmp_path: Path) -> None:
    """If stdout is a pipe, the command writes nothing into it."""
    path = str(tmp_path / "never")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdin
        assert reader.stdout
        arguments = ("run", "tools@1.0.0", "wait", "-p", f"path={path}", "--job-id", "piped")
        terminal = on_terminal(*arguments, stdout=reader.stdin.fileno())
        terminal.until(lambda _: Path(path + ".started").exists())
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended()[0] == 130
        reader.stdin.close()
        assert reader.stdout.read() == b""


def _joined(screen: str) -> str:
    """Join the lines that the terminal has wrapped."""
    return " ".join(screen.split())


def test_a_job_whose_id_draws_lines_is_one_row(on_terminal) -> None:
    """Control characters in an ID are escaped, and a long ID is cut, so that it can't look like other jobs."""
    for name in ("drawn\u2028job-2  FAILED", "drawn" + "\u2800" * 80 + "job-3"):
        assert on_terminal("run", "tools@1.0.0", "echo", "--job-id", name).ended()[0] == 0
    _, listed = on_terminal("jobs", "list", "--limit", "2").ended()
    header, *rows = listed.splitlines()
    assert header.split()[0] == "Job"
    assert "job-2" not in [line.split()[0] for line in rows]
    assert "job-3" not in listed
    assert "drawn\\u2028job-2\\x20\\x20FAILED" in listed


def test_verbose_shows_a_traceback_without_its_escape_sequences(on_terminal) -> None:
    """An exception's text must not clear the screen or set the window's title."""
    message = "\x1b[2J\x1b]0;title\x07gone\u202e"
    terminal = on_terminal("run", "tools@1.0.0", "fail", "-p", f"message={message}", "--verbose")
    code, screen = terminal.ended()
    assert code == 1
    assert "ValueError: gone" in screen
    assert "Traceback" in screen
    assert b"\x1b[2J" not in terminal.written
    assert b"title" not in terminal.written
    assert "\u202e".encode() not in terminal.written


def test_jobs_can_be_copied_from_a_narrow_terminal(on_terminal) -> None:
    """A generated ID is shortened to a unique prefix, and stays on one line."""
    assert on_terminal("run", "tools@1.0.0", "echo").ended()[0] == 0
    _, listed = on_terminal("jobs", "list", "--limit", "1", columns=60).ended()
    shown = listed.splitlines()[1].split()[0]
    assert re.fullmatch("[0-9a-f]{8}", shown)
    _, found = on_terminal("jobs", "get", shown, "--json", lines=400).ended()
    assert f'"job_id": "{shown}' in found


def test_a_progress_bar_takes_one_line(on_terminal) -> None:
    """Each of its lines overwrites the previous one, in `jobs logs` and in `run`; a pipe gets all of them."""
    run = on_terminal("run", "tools@1.0.0", "bar", "--wait", "--job-id", "with-a-bar", columns=100)
    assert run.ended()[1].splitlines() == ["100%", "done", "null"]
    for options in ([], ["-f"]):
        assert on_terminal("jobs", "logs", "with-a-bar", *options).ended()[1].splitlines() == ["100%", "done"]


def test_a_terminal_shows_how_much_of_a_long_log_is_left(on_terminal) -> None:
    """After the result, the command prints the log only for a moment; a note reports what is left out."""
    command = ("run", "tools@1.0.0", "narrate_fast", "--wait", "-p", "lines=300000", "--job-id", "far-too-long")
    code, screen = on_terminal(*command).ended()
    assert code == 0
    left = re.search(r"… (\d+) more lines of the log: synapse-agent jobs logs far-too-long", screen)
    assert left
    shown = max(int(number) for number in re.findall(r"^line (\d+)$", screen, re.M)) + 1
    assert shown + int(left[1]) == 300_000
