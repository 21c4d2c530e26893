"""The unit runs under a real systemd, as process 1 of its own namespaces, with its own folders and users."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme
from waiting import until

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.base_prefix).resolve()
SYSTEMD = Path("/lib/systemd/systemd")
NAMESPACES = ["unshare", "--mount", "--pid", "--cgroup", "--fork", "--kill-child", "--propagation", "private"]
BOOT = """
    echo $$ > "$CONTROL_GROUP/cgroup.procs"
    exec "$@"
    """
MACHINE = """
    mount -t proc proc /proc
    umount -R /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
    mount -t tmpfs -o mode=755 none /run
    touch /run/console
    mount --bind /run/console /dev/console
    if [ -n "$CLOSED" ]; then
        mkdir "$PLACE/python"
        mount --bind "$PYTHON_HOME" "$PLACE/python"
        mount -t tmpfs -o mode=755 none "$CLOSED"
        mkdir -p "$PYTHON_HOME"
        mount --move "$PLACE/python" "$PYTHON_HOME"
    fi
    mkdir "$PLACE/etc"
    mount -t tmpfs none "$PLACE/etc"
    mkdir "$PLACE/etc/upper" "$PLACE/etc/work"
    mount -t overlay -o "lowerdir=/etc,upperdir=$PLACE/etc/upper,workdir=$PLACE/etc/work" none /etc
    echo "synapse-agent:x:64999:64999::/var/lib/synapse-agent:/usr/sbin/nologin" >> /etc/passwd
    echo "synapse-agent:x:64999:" >> /etc/group
    for folder in /etc/systemd /opt /srv /var/lib /var/cache; do
        mount -t tmpfs -o mode=755 none $folder
    done
    cp -r "$PLACE/files/." /
    mount --make-rshared /
    exec env -i container=test SYSTEMD_UNIT_PATH=/etc/systemd/system PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system --unit=synapse-agent.service --log-target=console --show-status=0
    """
"""A machine with this one's programs: a systemd with one unit, the unit's user, and empty folders for its data."""

PLUGIN = {
    "config.yaml": """
        code: tried
        version: 1.0.0
        actions:
          look: "tried:look"
          wait: {entrypoint: "tried:wait", method: job}
          release: "tried:release"
        """,
    "tried.py": """
        import os
        import time
        from pathlib import Path

        GO = Path(os.environ["SYNAPSE_STORAGE_DIR"], "go")

        def look(paths):
            lines = Path("/proc/self/status").read_text().splitlines()
            found = {line[:6]: int(line[7:], 16) for line in lines if line.startswith(("CapEff", "CapBnd"))}
            found["user"] = os.getuid()
            for path in paths:
                try:
                    found[path] = os.listdir(path) if os.path.isdir(path) else Path(path).read_text()
                except OSError as error:
                    found[path] = type(error).__name__
            return found

        def wait():
            begun = time.time()
            while not GO.exists():
                time.sleep(0.01)
            return begun

        def release():
            GO.touch()
        """,
}


def closed_folder() -> Path | None:
    """Return the folder above this Python that only root can enter, such as pyenv's below /root."""
    return next((folder for folder in PYTHON.parents if not folder.stat().st_mode & 0o001), None)


def control_groups() -> Path | None:
    """Return the folder of this process's control group of version 2."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    place = next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)
    own = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    return None if place is None else place / own.lstrip("/")


def what_is_missing() -> str:
    """Return why systemd can't be process 1 here; "" if it can."""
    if os.geteuid() != 0 or not SYSTEMD.exists() or shutil.which("systemctl") is None:
        return "it takes root and an installed systemd"
    mounts = [*NAMESPACES, "mount", "-t", "proc", "none", "/proc"]
    if subprocess.run(mounts, capture_output=True, check=False).returncode:
        return "root cannot mount here"
    groups, closed = control_groups(), closed_folder()
    if groups is None or not os.access(groups, os.W_OK):
        return "no control groups of version 2 here"
    hidden = [Path("/tmp"), Path("/var/tmp"), *([closed] if closed else [])]
    return "the unit's user cannot see this checkout" if any(ROOT.is_relative_to(each) for each in hidden) else ""


MISSING = what_is_missing()
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(MISSING), reason=f"systemd can't be process 1: {MISSING}"),
]


@dataclass
class Service:
    """A running unit."""

    process: subprocess.Popen[bytes]
    http: httpx.Client

    def systemctl(self, *arguments: str) -> str:
        """Run a command of its systemd."""
        inside = ["nsenter", "--mount", "--pid", "--cgroup", f"--target={self._systemd()}"]
        command = [*inside, "systemctl", "--no-pager", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def run(self, action: str, **params: object) -> object:
        """Run an action, and return its result."""
        answer = self.http.post("/plugin_releases/tried@1.0.0/run/", json={"action": action, "params": params})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def is_up(self) -> bool:
        """Whether the agent answers."""
        with suppress(httpx.TransportError):
            return self.http.get("/health/").status_code == 200
        return False

    def _systemd(self) -> int:
        """Return the process ID of its systemd, as the machine sees it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0])


@pytest.fixture
def service(examples: Path, tmp_path: Path) -> Iterator[Service]:
    """Boot a systemd with the unmodified unit, except for its port."""
    authority, port = trustme.CA(), free_port()
    write_files(tmp_path / "files", (examples / "synapse-agent.service").read_text(), authority, port)
    groups = control_groups()
    assert groups is not None
    group = groups / f"systemd-{os.getpid()}"
    group.mkdir()
    closed = closed_folder()
    env = {
        **os.environ,
        "PLACE": str(tmp_path),
        "CONTROL_GROUP": str(group),
        "PYTHON_HOME": str(PYTHON),
        "CLOSED": str(closed or ""),
    }
    command = ["sh", "-euc", BOOT, "sh", *NAMESPACES, "sh", "-euc", MACHINE]
    headers = {"Authorization": "secret", "Host": "agent.example.com"}
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    with (
        httpx.Client(base_url=f"https://127.0.0.1:{port}", headers=headers, verify=context, trust_env=False) as http,
        (tmp_path / "output").open("wb") as output,
        subprocess.Popen(command, env=env, stdout=output, stderr=output) as process,
    ):
        try:
            service = Service(process, http)
            until(lambda: process.poll() is not None or service.is_up())
            assert process.poll() is None, (tmp_path / "output").read_text()
            yield service
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            until(lambda: removed(group))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def removed(group: Path) -> bool:
    """Remove a control group and all groups below it, once their processes have ended."""
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()


def write_files(root: Path, unit: str, authority: trustme.CA, port: int) -> None:
    """Write the files of the machine that differ from this one's: those that the unit's first lines install."""
    program = f'#!/bin/sh\nexec {sys.executable} -m synapse_agent "$@"\n'
    is_below_home = any(path.is_relative_to(home) for path in (PYTHON, ROOT) for home in ("/root", "/home"))
    files = {
        "opt/synapse-agent/bin/synapse-agent": program,
        "etc/synapse-agent/token": "secret\n",
        "etc/systemd/system/synapse-agent.service": unit.replace("--port 8000", f"--port {port}"),
        **{
            f"etc/systemd/system/{name}.target": "[Unit]\nDefaultDependencies=no\n"
            for name in ("sysinit", "basic", "shutdown", "network-online")
        },
        **{f"srv/synapse-plugins/tried/{name}": textwrap.dedent(text) for name, text in PLUGIN.items()},
    }
    if is_below_home:  # this restriction would hide the Python
        files["etc/systemd/system/synapse-agent.service.d/home.conf"] = "[Service]\nProtectHome=no\n"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "opt/synapse-agent/bin/synapse-agent").chmod(0o755)
    (root / "etc/synapse-agent/token").chmod(0o600)
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(root / "etc/synapse-agent/tls.crt")
    issued.private_key_pem.write_to_path(root / "etc/synapse-agent/tls.key")


def test_the_unit_isolates_runs_and_its_jobs_continue(service: Service) -> None:
    """Every restriction that needs namespaces holds, and a restart of the unit ends no job."""
    sandbox = service.http.get("/health/").json()["sandbox"]
    assert {"write", "signal", "attributes", "temporary_files", "ipc"} <= set(sandbox["restricts"])
    service.http.post("/plugin_releases/", json={"plugin": "tried", "version": "1.0.0"}).raise_for_status()
    token, data = "/etc/synapse-agent/token", "/var/lib/synapse-agent"
    found = service.run("look", paths=[token, "/tmp", f"{data}/jobs", f"{data}/token"])
    assert found == {
        "user": 64999,
        "CapEff": 0,
        "CapBnd": 0,
        token: "PermissionError",
        "/tmp": [],
        f"{data}/jobs": "FileNotFoundError",
        f"{data}/token": "FileNotFoundError",
    }
    job = {"action": "wait", "job_id": "waits", "params": {}}
    asked = service.http.post("/plugin_releases/tried@1.0.0/run/", json=job, headers={"Prefer": "respond-async"})
    assert asked.status_code == 202
    until(lambda: service.http.get("/jobs/waits/").json()["status"] == "RUNNING")
    before = service.systemctl("show", "--property=MainPID", "synapse-agent")
    service.systemctl("restart", "synapse-agent")
    until(service.is_up)
    assert service.systemctl("show", "--property=MainPID", "synapse-agent") != before
    assert service.http.get("/jobs/waits/").json()["status"] == "RUNNING"
    service.run("release")
    until(lambda: service.http.get("/jobs/waits/").json()["status"] == "SUCCEEDED")
