"""`dev` runs a plugin's action again at each change; the tests run it as a process, as authors do."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forked import PROGRAM, Command
from waiting import until

from synapse_agent.cli.authoring import changes as changes_module
from synapse_agent.cli.authoring.changes import FolderChanges
from synapse_agent.cli.failures import Failure

CONFIG = "code: mine\nactions: {go: 'main:go'}\n"


class Dev:
    """A running `dev`, and what it has printed."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [*PROGRAM, "dev", str(folder), "go", *arguments]
        self.process = Command(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1, cwd=folder.parent
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))

    def close(self) -> None:
        """End it in any case."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()

    def printed(self, line: str, times: int = 1) -> None:
        """Wait until a line has been printed this many times."""
        until(lambda: self.lines.count(line) >= times or self.process.poll() is not None, seconds=60)
        assert self.lines.count(line) == times, "\n".join(self.lines)

    def end(self) -> int:
        """Press Ctrl-C, and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


Start = Callable[..., Dev]
IDLE = "Waiting for a change. Press Ctrl-C to stop."


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Dev] = []

    def begin(*arguments) -> Dev:
        started.append(Dev(*arguments))
        return started[-1]

    yield begin
    for each in started:
        each.close()


def write(folder: Path, source: str) -> None:
    """Write the plugin's module as most editors do: another file, renamed."""
    (folder / "main.py.new~").write_text(source)
    (folder / "main.py.new~").rename(folder / "main.py")


def test_an_action_runs_again_at_each_change(tmp_path: Path, write_plugin, start: Start) -> None:
    """An error in between does not end it; the environment stays, and changes in caches are ignored."""
    source = "import six\ndef go(name): return f'{name}: one'\n"
    files = {"config.yaml": CONFIG, "main.py": source, "requirements.txt": "six\n"}
    folder = write_plugin(tmp_path / ".venv" / "mine", files)  # `.venv` is ignored below the folder, not above it
    dev = start(folder, "-p", "name=Ada")
    dev.printed('"Ada: one"')
    dev.printed(IDLE)
    write(folder, source.replace("one", "two"))
    dev.printed("main.py changed.")
    dev.printed('"Ada: two"')
    dev.printed(IDLE, 2)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "main.pyc").touch()
    write(folder, source.replace("return", "retrun"))
    dev.printed("SyntaxError: invalid syntax")
    dev.printed(IDLE, 3)
    (folder / "config.yaml").write_text("code: mine\nactions: {stay: 'main:go'}\n")
    dev.printed("mine has no action 'go'. Available: stay. Nothing ran. Fix the call and try again.")
    dev.printed(IDLE, 4)
    (folder / "config.yaml").write_text(CONFIG)
    dev.printed(IDLE, 5)
    write(folder, source.replace("one", "three"))
    dev.printed('"Ada: three"')
    dev.printed(IDLE, 6)
    assert sum("six==" in line for line in dev.lines) <= 1  # a line of the installer's output
    assert dev.end() == 0


def test_imports_stay_warm(tmp_path: Path, write_plugin, start: Start) -> None:
    """A process imports what an earlier run imported, before the changed code runs in it."""
    source = "import sys\nis_warm = 'numpy' in sys.modules\nimport numpy\ndef go(): return f'NUMBER: {is_warm}'\n"
    files = {"config.yaml": CONFIG, "main.py": source, "requirements.txt": "numpy\n"}
    folder = write_plugin(tmp_path / "mine", files)
    dev = start(folder)
    dev.printed('"NUMBER: False"')
    for number in range(1, 20):  # the process may not be ready for the first changes
        dev.printed(IDLE, number)
        write(folder, source.replace("NUMBER", str(number)))
        until(lambda: f'"{number}: False"' in dev.lines or f'"{number}: True"' in dev.lines, seconds=30)  # noqa: B023
        if f'"{number}: True"' in dev.lines:
            return
    pytest.fail("\n".join(dev.lines))


def test_a_change_stops_the_run(tmp_path: Path, write_plugin, start: Start) -> None:
    """The new code runs afterwards; Ctrl-C stops a run as it does for `run`."""
    waiting = "import time\ndef go():\n    print('waiting')\n    time.sleep(1000)\n"
    folder = write_plugin(tmp_path / "mine", {"config.yaml": CONFIG, "main.py": waiting})
    dev = start(folder)
    dev.printed("waiting")
    write(folder, "def go(): return 'done'\n")
    dev.printed('"done"')
    dev.printed(IDLE)
    write(folder, waiting)
    dev.printed("waiting", 2)
    assert dev.end() == 130
    assert not any("stopped" in line for line in dev.lines[:-2])


def test_params_in_a_file_are_read_each_time(tmp_path: Path, write_plugin, start: Start) -> None:
    """If the file is in the plugin's folder, a change of it runs the action with its new content."""
    files = {"config.yaml": CONFIG, "main.py": "def go(x): return x\n", "params.json": '{"x": "first"}'}
    folder = write_plugin(tmp_path / "mine", files)
    dev = start(folder, "--params", f"@{folder / 'params.json'}")
    dev.printed('"first"')
    dev.printed(IDLE)
    (folder / "params.json").write_text('{"x": "second"}')
    dev.printed('"second"')
    assert dev.end() in (0, 130)


def test_a_folder_that_cannot_be_watched_is_named(tmp_path: Path, monkeypatch) -> None:
    """The message has the fix; nothing waits forever."""

    def watch(*_: object, **__: object) -> Iterator[set]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(changes_module, "watch", watch)
    with pytest.raises(Failure, match="WATCHFILES_FORCE_POLLING=1"), FolderChanges(tmp_path, on_change=lambda: None):
        pass


def test_a_missing_package_is_named_with_its_extra(cli, tmp_path: Path, write_plugin, monkeypatch) -> None:
    """`dev` alone needs it."""
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    monkeypatch.delitem(sys.modules, changes_module.__name__)
    ended = cli("dev", str(write_plugin(tmp_path / "small")), "go")
    assert ended.code == 1
    assert ended.err.endswith(
        "watchfiles is not installed. 'dev' needs an extra: pip install 'synapse-agent-client[agent,cli,dev]'\n"
    )
