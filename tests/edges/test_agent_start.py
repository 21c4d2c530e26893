"""What keeps an agent from starting, or fills its disk: one line that says what to do, and an exit code."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from backends import plugin_zip, release
from faults import FaultServer
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_sdk.exceptions import ClientTimeoutError, ServerError

ACTIONS = """actions:
  small: {entrypoint: 'main:small', method: local}
  large: {entrypoint: 'main:large', method: local}
"""
WORKS = {"main.py": "def small():\n    return 'small'\n\ndef large():\n    return 'x' * 20_000_000\n"}


@pytest.fixture
def refuse(plugins, tmp_path):
    """Start an agent that is to end at once, and give the one line that it leaves on stderr."""

    def refuse(*options: str, code: int = 1, data: Path = tmp_path / "data", folder: Path = plugins, **env: str) -> str:
        command = [sys.executable, "-m", "synapse_agent", "serve", "--plugins", str(folder), "--data-dir", str(data)]
        ended = subprocess.run(
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


@pytest.fixture
def mount(tmp_path):
    """Mount file systems of their own, where the tests may."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"mounted-{len(mounted)}"
        folder.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
        )
        if made.returncode:
            pytest.skip(f"no file system can be mounted here: {made.stderr.decode().strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def test_a_port_in_use(serve, refuse):
    """Another, or a free one."""
    port = serve().base_url.rpartition(":")[2]
    assert refuse("--port", port) == (
        f"Port {port} on 127.0.0.1 is in use. Choose another with --port, or a free one with --port 0."
    )


def test_a_data_folder_that_is_a_file(refuse, tmp_path):
    """Or below one."""
    path = tmp_path / "file"
    path.touch()
    assert refuse(data=path) == f"The data folder {path} cannot be used: File exists. Name another with --data-dir."
    path = path / "below"
    assert refuse(data=path) == f"The data folder {path} cannot be used: Not a directory. Name another with --data-dir."


def test_a_data_folder_that_is_not_writable(refuse, mount):
    """With the system's own reason and the file that it is about."""
    folder = mount("ro")
    assert refuse(data=folder) == (
        f"The data folder {folder} cannot be used: Read-only file system ({folder}/lock). Name another with --data-dir."
    )


@pytest.mark.parametrize("name", ["releases", "jobs", "environments", "scratch"])
def test_a_data_folder_that_holds_something_else(refuse, tmp_path, name):
    """A file where the agent needs a folder is named, and the folder can be used once it is gone."""
    (tmp_path / name).touch()
    assert refuse(data=tmp_path) == (
        f"The data folder {tmp_path} cannot be used: File exists ({tmp_path}/{name}). Name another with --data-dir."
    )


def test_a_data_folder_that_is_full(refuse, mount):
    """From the start."""
    folder = mount("size=4k")
    assert refuse(data=folder) == (
        f"The database {folder}/agent.sqlite3 cannot be used: database or disk is full. "
        "Name another data folder with --data-dir."
    )


def test_a_data_folder_of_another_running_agent(serve, refuse):
    """Which is named by its process."""
    served = serve()
    assert refuse(data=served.data) == (
        f"The data folder {served.data} belongs to another running agent (process {served.process.pid}). "
        "Stop that one, or name another folder with --data-dir."
    )


def test_a_data_folder_of_a_newer_agent(refuse, tmp_path):
    """It is left as it is."""
    path = tmp_path / "agent.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 999")
    assert refuse(data=tmp_path).startswith(
        f"The database {path} was made by a newer version of the agent (schema 999, this one knows "
    )
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (999,)


def test_a_database_that_is_none(refuse, tmp_path):
    """It is left as it is."""
    (tmp_path / "agent.sqlite3").write_text("no database at all, and of some length")
    assert refuse(data=tmp_path) == (
        f"The database {tmp_path}/agent.sqlite3 cannot be used: file is not a database. "
        "Name another data folder with --data-dir."
    )
    assert (tmp_path / "agent.sqlite3").read_text().startswith("no database")


def test_a_plugins_folder_that_is_not_there(refuse, tmp_path):
    """Or is a file."""
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        (tmp_path / "file").touch()
        assert refuse(folder=path) == (
            f"The plugins folder {path} is not there, or is no folder. Name one that is with --plugins."
        )


@pytest.mark.parametrize(
    "source", ["raise ModuleNotFoundError(name='uv')", "def find_uv_bin():\n    raise FileNotFoundError('uv')"]
)
def test_uv_missing(refuse, tmp_path, source):
    """The package, or the program in it: what to install."""
    (tmp_path / "uv.py").write_text(source)
    assert refuse(PYTHONPATH=str(tmp_path)) == (
        "uv is missing, which makes the environments of plugins: pip install 'synapse-agent-client[agent]'"
    )


def test_a_python_that_is_none(refuse, tmp_path):
    """A wrong call: exit code 2."""
    assert refuse("--python", str(tmp_path / "python"), code=2) == (
        f"--python {tmp_path}/python is not there, or is no program. Name an interpreter."
    )


def test_an_address_of_another_machine(refuse):
    """Neither the address nor the port can be had."""
    message = refuse("--host", "192.0.2.1")
    assert message.startswith("The agent cannot listen on 192.0.2.1, port 0: ")
    assert message.endswith(". Name others with --host and --port.")


def fill(folder: Path, *, leave: int) -> Path:
    """Write until there is so much room left."""
    status = os.statvfs(folder)
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:  # what does not fit is left out
        file.write(bytes(status.f_bavail * status.f_frsize - leave))
    return path


def test_a_disk_that_fills_up_refuses_and_leaves_nothing(mount, make_facade, tmp_path, write_files):
    """503 that says so, for a release as for a debug run; once there is room again, both work."""
    plugin = {"config.yaml": f"code: bulky\nversion: 1.0.0\n{ACTIONS}", **WORKS, "data.bin": os.urandom(2_000_000)}
    write_files(tmp_path / "plugins" / "bulky", plugin)
    data = mount("size=32m")
    with EmbeddedAgent(tmp_path / "plugins", data_dir=data) as agent:
        facade = make_facade(agent.base_url, agent.token, max_retries=0)
        assert facade.run_debug_plugin_release("small", plugin_path=tmp_path / "plugins" / "bulky") == "small"
        filler = fill(data, leave=1_000_000)
        for error in (
            facade.error("create_plugin_release", "bulky", "1.0.0"),
            facade.error("run_debug_plugin_release", "small", plugin_path=tmp_path / "plugins" / "bulky"),
        ):
            assert type(error) is ServerError
            assert (error.status_code, error.error_type, error.outcome) == (503, "unavailable", "rejected")
            assert error.message == "The agent's disk is full; nothing was done."
        assert list((data / "releases").iterdir()) == list((data / "tmp").iterdir()) == []
        filler.unlink()
        facade.create_plugin_release("bulky", "1.0.0")
        assert facade.run_plugin_release("bulky@1.0.0", "small") == "small"


def test_a_download_that_fills_the_disk_is_refused_and_leaves_nothing(mount, make_facade):
    """503 that says so, of the archive as of what is in it, and the room is there again at once."""
    archive = plugin_zip("bulky", **{"data.bin": os.urandom(4_000_000)})
    data = mount("size=7m")  # for the archive, but not for its content beside it
    with (
        FaultServer([*release(archive), *release(archive)]) as backend,
        EmbeddedAgent(backend=backend.base_url, data_dir=data) as agent,
    ):
        facade = make_facade(agent.base_url, agent.token, max_retries=0)
        before = shutil.disk_usage(data).free
        filler = fill(data, leave=2_000_000)
        for _ in range(2):
            error = facade.error("create_plugin_release", "bulky", "1.0.0")
            assert (error.status_code, error.error_type) == (503, "unavailable")
            assert error.message == "The agent's disk is full; nothing was done."
            assert list((data / "releases").iterdir()) == list((data / "tmp").iterdir()) == []
            filler.unlink(missing_ok=True)
        assert shutil.disk_usage(data).free == before


def test_a_run_that_ends_on_a_full_disk_is_over_when_there_is_room(mount, refuse, write_files, tmp_path):
    """Its end is not lost; an agent that is started meanwhile says what it lacks."""
    wait = "import os, time\ndef wait(path):\n    while not os.path.exists(path):\n        time.sleep(0.01)\n"
    config = "code: slow\nversion: 1.0.0\nactions: {wait: {entrypoint: 'main:wait', method: job}}\n"
    write_files(tmp_path / "plugins" / "slow", {"config.yaml": config, "main.py": wait})
    data = mount("size=16m")
    with EmbeddedAgent(tmp_path / "plugins", data_dir=data) as agent, agent.client() as client:
        client.create_plugin_release("slow", "1.0.0")
        client.run_plugin_release("slow@1.0.0", "wait", params={"path": str(tmp_path / "go")}, job_id="late")
        until(lambda: client.get_job("late")["status"] != "PENDING")
        shutil.copytree(data, tmp_path / "copy")
        filler = fill(data, leave=0)
        (tmp_path / "go").touch()
        with pytest.raises(ClientTimeoutError):
            client.wait_for_job("late", deadline=0.5)
        filler.unlink()
        assert client.wait_for_job("late", deadline=20) is None
    full = mount("size=16m")
    shutil.copytree(tmp_path / "copy", full, dirs_exist_ok=True)  # as an agent leaves it that is killed
    fill(full, leave=0)
    assert refuse(data=full) == (
        f"The disk with the data folder {full} is full. Make room, or name another folder with --data-dir."
    )


def test_a_result_that_the_disk_cannot_keep_is_a_failure_of_that_run(mount, make_facade, tmp_path, write_files):
    """It ran, and that is said; its record has come to an end, and the next run is none the worse for it."""
    write_files(tmp_path / "plugins" / "bulky", {"config.yaml": f"code: bulky\nversion: 1.0.0\n{ACTIONS}", **WORKS})
    data = mount("size=16m")
    with EmbeddedAgent(tmp_path / "plugins", data_dir=data) as agent:
        facade = make_facade(agent.base_url, agent.token, max_retries=0)
        facade.create_plugin_release("bulky", "1.0.0")
        error = facade.error("run_plugin_release", "bulky@1.0.0", "large", job_id="large")
        assert (error.status_code, error.error_type, error.outcome) == (500, "result_not_kept", "executed")
        assert error.message == (
            f"The action ended well, but its result of 20000002 bytes could not be kept: {os.strerror(errno.ENOSPC)}."
        )
        with closing(sqlite3.connect(f"file:{data}/agent.sqlite3?mode=ro", uri=True)) as database:
            assert database.execute("SELECT status FROM jobs WHERE job_id = 'large'").fetchone() == ("FAILED",)
        assert list(data.glob("jobs/*/*")) == []
        assert facade.run_plugin_release("bulky@1.0.0", "small") == "small"
