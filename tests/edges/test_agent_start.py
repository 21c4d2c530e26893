"""If an agent can't start, it prints one line with advice, and exits with a code."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from forked import PROGRAM, run


@pytest.fixture
def refuse(plugins, tmp_path):
    """Start an agent that should end at once, and return its one line on stderr."""

    def refuse(*options: str, code: int = 1, data: Path = tmp_path / "data", folder: Path = plugins, **env: str) -> str:
        command = [*PROGRAM, "serve", "--plugins", str(folder), "--data-dir", str(data)]
        ended = run(
            [*command, "--token", "secret", "--port", "0", *options],
            capture_output=True,
            text=True,
            timeout=30,
            env={**os.environ, **env},
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (code, "")
        (line,) = ended.stderr.splitlines()
        return line.removeprefix("synapse-agent: ")

    return refuse


def test_a_port_in_use(serve, refuse):
    """The message proposes another port, or a free one."""
    port = serve().base_url.rpartition(":")[2]
    assert refuse("--port", port) == (
        f"Port {port} on 127.0.0.1 is in use. Choose another with --port, or a free one with --port 0."
    )


def test_a_data_folder_that_is_a_file(refuse, tmp_path):
    """A folder below a file is refused in the same way."""
    path = tmp_path / "file"
    path.touch()
    assert refuse(data=path) == f"The data folder {path} cannot be used: File exists. Pass another with --data-dir."
    path = path / "below"
    assert refuse(data=path) == f"The data folder {path} cannot be used: Not a directory. Pass another with --data-dir."


def test_a_data_folder_that_is_not_writable(refuse, mount):
    """The message has the system's reason and the file."""
    folder = mount("ro")
    assert refuse(data=folder) == (
        f"The data folder {folder} cannot be used: Read-only file system ({folder}/lock). Pass another with --data-dir."
    )


@pytest.mark.parametrize("name", ["releases", "jobs", "environments", "scratch"])
def test_a_data_folder_that_holds_something_else(refuse, tmp_path, name):
    """A file in place of a folder is named, and the folder can be used once the file is gone."""
    (tmp_path / name).touch()
    assert refuse(data=tmp_path) == (
        f"The data folder {tmp_path} cannot be used: File exists ({tmp_path}/{name}). Pass another with --data-dir."
    )


def test_a_data_folder_that_is_full(refuse, mount):
    """The disk is full when the agent starts."""
    folder = mount("size=4k")
    assert refuse(data=folder) == (
        f"The database {folder}/agent.sqlite3 cannot be used: database or disk is full. "
        "Pass another data folder with --data-dir."
    )


def test_a_data_folder_of_another_running_agent(serve, refuse):
    """The message names the other agent's process."""
    served = serve()
    assert refuse(data=served.data) == (
        f"The data folder {served.data} belongs to another running agent (process {served.process.pid}). "
        "Stop that one, or pass another folder with --data-dir."
    )


def test_a_data_folder_of_a_newer_agent(refuse, tmp_path):
    """It stays unchanged."""
    path = tmp_path / "agent.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 999")
    assert refuse(data=tmp_path).startswith(
        f"The database {path} was created by a newer version of the agent (schema 999, this version supports "
    )
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (999,)


def test_a_database_that_is_none(refuse, tmp_path):
    """It stays unchanged."""
    (tmp_path / "agent.sqlite3").write_text("no database at all, and of some length")
    assert refuse(data=tmp_path) == (
        f"The database {tmp_path}/agent.sqlite3 cannot be used: file is not a database. "
        "Pass another data folder with --data-dir."
    )
    assert (tmp_path / "agent.sqlite3").read_text().startswith("no database")


def test_a_plugins_folder_that_is_not_there(refuse, tmp_path):
    """A file in its place is refused in the same way."""
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        (tmp_path / "file").touch()
        assert refuse(folder=path) == (
            f"The plugins folder {path} was not found, or is not a folder. Pass another with --plugins."
        )


@pytest.mark.parametrize(
    "source", ["raise ModuleNotFoundError(name='uv')", "def find_uv_bin():\n    raise FileNotFoundError('uv')"]
)
def test_uv_missing(refuse, tmp_path, source):
    """The message has the command that installs it, if the package or only the program is missing."""
    (tmp_path / "uv.py").write_text(source)
    assert refuse(PYTHONPATH=str(tmp_path)) == (
        "uv, which creates plugin environments, is not installed: pip install 'synapse-agent-client[agent]'"
    )


def test_a_python_that_is_none(refuse, tmp_path):
    """This is a usage error: exit code 2."""
    assert refuse("--python", str(tmp_path / "python"), code=2) == (
        f"--python {tmp_path}/python does not exist, or is not executable. Pass an interpreter."
    )


def test_an_address_of_another_machine(refuse):
    """The message proposes another address or port."""
    message = refuse("--host", "192.0.2.1")
    assert message.startswith("The agent cannot listen on 192.0.2.1, port 0: ")
    assert message.endswith(". Pass others with --host and --port.")
