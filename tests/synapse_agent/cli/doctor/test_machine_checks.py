"""What `doctor` finds on this machine."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from synapse_agent.cli.doctor import machine_checks
from synapse_agent.cli.doctor.machine_checks import (
    cache_finding,
    check_machine,
    disk_finding,
    kernel_findings,
    landlock_finding,
    namespaces_finding,
    packages_finding,
    ray_finding,
)


def test_this_machine_can_serve(tmp_path: Path) -> None:
    """`doctor` finds no fault on the machine that runs these tests."""
    findings = list(check_machine(tmp_path, None))
    assert [each for each in findings if each.status == "fault"] == []
    assert {each.check for each in findings} >= {
        "serving here",
        "environment cache",
        "disk",
        "kernel",
        "Landlock",
        "Ray",
    }


def test_a_package_that_is_missing_is_named() -> None:
    """The finding has the command that installs it."""
    assert packages_finding([]).status == "ok"
    missing = packages_finding(["uv"])
    assert (missing.status, missing.found) == ("fault", "not installed: uv")
    assert missing.fix == "pip install 'synapse-agent-client[agent,cli]'"


def test_environments_that_lost_their_python_are_named(tmp_path: Path) -> None:
    """Removing an interpreter has this effect."""
    folder = tmp_path / "environments"
    assert cache_finding(folder).status == "ok"
    good, bad = folder / "good" / "bin", folder / "bad" / "bin"
    good.mkdir(parents=True)
    (good / "python").touch()
    assert cache_finding(folder).status == "ok"
    bad.mkdir(parents=True)
    (bad / "python").symlink_to("/no/such/python")
    broken = cache_finding(folder)
    assert (broken.status, broken.fix) == ("fault", f"remove them: rm -r {folder / 'bad'}")


@pytest.mark.parametrize(("gibibytes", "status"), [(0.5, "fault"), (3, "warning"), (100, "ok")])
def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gibibytes: float, status: str) -> None:
    """The check uses the folder or, if it is missing, the nearest parent."""
    usage = shutil.disk_usage(tmp_path)._replace(free=int(gibibytes * 2**30))
    monkeypatch.setattr(machine_checks.shutil, "disk_usage", lambda _: usage)
    assert disk_finding(tmp_path / "not" / "there").status == status


def test_the_kernel_has_what_runs_need() -> None:
    """This machine's kernel passes."""
    kernel, landlock, namespaces = kernel_findings()
    assert kernel.status == "ok"
    assert landlock.check == "Landlock"
    assert namespaces.check == "namespaces"


def test_a_machine_without_namespaces_is_a_warning() -> None:
    """Runs work there, but share temporary files; the finding has the kernel's error."""
    assert namespaces_finding("").status == "ok"
    finding = namespaces_finding("PermissionError: [Errno 1] Operation not permitted")
    assert finding.status == "warning"
    assert "Operation not permitted" in finding.found


def test_a_kernel_without_landlock_is_a_warning() -> None:
    """Actions run without a sandbox."""
    assert landlock_finding(0).status == "warning"
    assert landlock_finding(4).status == "ok"


def test_ray_is_checked_if_it_is_installed_or_configured() -> None:
    """The check uses Ray's version and the head's address."""
    assert ray_finding(None, None).status == "skipped"
    assert ray_finding(None, "127.0.0.1:1").status == "fault"
    assert ray_finding("2.60.0", None).status == "ok"
    for address in ("127.0.0.1:9", "[::1", "a..b:6379"):
        assert ray_finding("2.60.0", address).status == "fault"
    with socket.create_server(("127.0.0.1", 0)) as head:
        assert ray_finding("2.60.0", f"127.0.0.1:{head.getsockname()[1]}").status == "ok"
