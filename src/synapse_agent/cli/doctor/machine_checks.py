"""Checks of what an agent on this machine needs."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from synapse_agent.cli.doctor.findings import Finding, fault, ok, skipped, warning
from synapse_agent.coexistence import CURE, is_mixed

GIBIBYTE = 2**30
LEAST_ROOM = 1 * GIBIBYTE
LITTLE_ROOM = 5 * GIBIBYTE
LEAST_INODES = 10_000
AGENT_PACKAGES = ("httptools", "packaging", "pydantic", "starlette", "uv", "uvicorn", "uvloop", "yaml")
SECONDS = 5.0

_PR_GET_CHILD_SUBREAPER = 37


def check_machine(data_dir: Path, ray_address: str | None) -> Iterator[Finding]:
    """Check what an agent on this machine needs; skip most of it if only the client is installed."""
    if is_mixed():
        yield fault("packages", "the public SDK is, or was, in this environment", CURE)
    missing = [name for name in AGENT_PACKAGES if find_spec(name) is None]
    if len(missing) > len(AGENT_PACKAGES) // 2:
        yield skipped("serving here", "only the client is installed; an agent needs synapse-agent-client[agent,cli]")
        return
    if sys.platform != "linux":
        yield fault("serving here", f"this is {sys.platform}", "serve the agent on Linux; the client works here")
        return
    yield packages_finding(missing)
    yield cache_finding(data_dir / "environments")
    yield disk_finding(data_dir)
    yield from left_jobs_finding(data_dir)
    yield from kernel_findings()
    yield resources_finding()
    yield ray_finding(_ray_version(), ray_address)


def packages_finding(missing: list[str]) -> Finding:
    """Check that the extra is completely installed."""
    if missing:
        return fault(
            "serving here", f"not installed: {', '.join(missing)}", "pip install 'synapse-agent-client[agent,cli]'"
        )
    return ok("serving here", "all that an agent needs is installed")


def cache_finding(folder: Path) -> Finding:
    """Check the plugins' environments: whether they work, and whether more can be created."""
    if not folder.is_dir():
        return ok("environment cache", f"{_shown(folder)} will be created at the first run")
    if not os.access(folder, os.W_OK | os.X_OK):
        return fault("environment cache", f"{_shown(folder)} is not writable", "make the agent's user its owner")
    made = [each for each in folder.iterdir() if (each / "bin").is_dir()]
    broken = [each.name for each in made if not (each / "bin" / "python").exists()]
    if broken:
        return fault(
            "environment cache",
            f"{len(broken)} of {len(made)} in {_shown(folder)} have lost their Python, such as {broken[0]}",
            f"remove them: rm -r {_shown(folder / broken[0])}",
        )
    count = "1 environment" if len(made) == 1 else f"{len(made)} environments"
    return ok("environment cache", f"{count} in {_shown(folder)}")


def disk_finding(folder: Path) -> Finding:
    """Check the free space of the disk with the agent's data."""
    place = next(each for each in (folder, *folder.parents) if each.exists())
    usage = shutil.disk_usage(place)
    free = f"{usage.free / GIBIBYTE:.1f} GiB free for {_shown(folder)}"
    fix = "free some space, or serve with another --data-dir"
    files = os.statvfs(place)
    if 0 < files.f_favail < LEAST_INODES:  # some file systems don't count inodes
        return fault("disk", f"only {files.f_favail} free inodes on the disk of {_shown(folder)}", fix)
    if usage.free < LEAST_ROOM:
        return fault("disk", free, fix)
    return warning("disk", free, fix) if usage.free < LITTLE_ROOM else ok("disk", free)


def left_jobs_finding(data_dir: Path) -> Iterator[Finding]:
    """Report jobs that continue, or have ended, without an agent."""
    from synapse_agent.runner.left_runs import has_agent, seen_runs  # these modules work on Linux only

    left = seen_runs(data_dir)
    if left and not has_agent(data_dir):
        running, on_nodes = (sum(run.status == each for run in left) for each in ("RUNNING", "ON_NODE"))
        over = len(left) - running - on_nodes
        found = f"no agent serves {_shown(data_dir)}: {running} of its jobs still {'runs' if running == 1 else 'run'}"
        found += f", {over} {'has' if over == 1 else 'have'} ended"
        found += f", {on_nodes} {'is' if on_nodes == 1 else 'are'} on nodes of a cluster" if on_nodes else ""
        yield warning("jobs", found, "start the agent again; 'synapse-agent jobs list --offline' lists them")


def kernel_findings() -> Iterator[Finding]:
    """Check the kernel features that isolate runs."""
    from synapse_agent.runner.processes.sandbox import namespaces_missing  # Linux only
    from synapse_agent.runner.synapse_worker import landlock

    needed = {"pidfd": _has_pidfd(), "memfd": _has_memfd(), "child subreaper": _has_subreaper()}
    missing = [name for name, is_there in needed.items() if not is_there]
    release = os.uname().release
    if missing:
        yield fault(
            "kernel", f"{release} has no {', '.join(missing)}", "use Linux 5.4 or later, and allow these in a container"
        )
    else:
        yield ok("kernel", f"{release} with {', '.join(needed)}")
    yield landlock_finding(landlock.abi())
    yield namespaces_finding(namespaces_missing())


def landlock_finding(abi: int) -> Finding:
    """Check what restricts the files that actions write; `abi` is 0 without Landlock."""
    if abi < 1:
        return warning(
            "Landlock",
            "not available: actions can write all files that the agent's user can",
            "boot Linux 5.13 or later with the security module landlock, or serve as a dedicated user",
        )
    return ok("Landlock", f"version {abi}: actions write to their own folders only")


def namespaces_finding(missing: str) -> Finding:
    """Check whether each run can have its own view of the machine's files; `missing` is the reason if not."""
    if missing:
        return warning(
            "namespaces",
            f"not permitted ({missing}): runs share /tmp and /dev/shm with each other and the machine",
            "allow unprivileged user namespaces; docs/guides/security.md has the settings of containers and systemd",
        )
    return ok("namespaces", "runs have /tmp, /var/tmp and /dev/shm of their own")


def resources_finding() -> Finding:
    """Report this machine's resources for runs."""
    from synapse_agent.runner.resources.gpus import NVIDIA, find_gpus  # Linux only
    from synapse_agent.util.cpus import usable_cpus
    from synapse_agent.util.memory import usable_memory

    cpus, gpus = usable_cpus(), find_gpus(None, os.environ)
    names = ", ".join(dict.fromkeys(gpu.name or gpu.id for gpu in gpus))
    count = f"{len(gpus)} GPU{'' if len(gpus) == 1 else 's'} ({names})" if gpus else "no GPU found"
    found = f"{cpus} CPU{'' if cpus == 1 else 's'}, {usable_memory() / GIBIBYTE:.1f} GiB of memory, {count}"
    if any(gpu.vendor == NVIDIA and gpu.memory_total is None for gpu in gpus):
        return warning("for runs", f"{found}; GPU load unknown", "pip install 'synapse-agent-client[agent,cli,gpu]'")
    return ok("for runs", found)


def ray_finding(installed: str | None, address: str | None) -> Finding:
    """Check Ray, if actions may run on a cluster."""
    if installed is None and address is None:
        return skipped("Ray", "not installed; only needed for a cluster")
    if installed is None:
        return fault("Ray", "not installed", "pip install 'synapse-agent-client[agent,cli,ray]'")
    if address is None:
        return ok("Ray", f"{installed} is installed; --ray-address HOST:PORT checks a cluster")
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        socket.create_connection((parts.hostname or "", parts.port or 6379), timeout=SECONDS).close()
    except (OSError, ValueError) as error:
        return fault("Ray", f"no response at {address} ({error})", "start the cluster's head, or pass another address")
    return ok("Ray", f"{installed}, a cluster's head responds at {address}")


def _shown(path: Path) -> str:
    """Return a path with `~` for the home folder."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _ray_version() -> str | None:
    try:
        return version("ray")
    except PackageNotFoundError:
        return None


def _has_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _has_memfd() -> bool:
    try:
        os.close(os.memfd_create("doctor"))
    except (AttributeError, OSError):
        return False
    return True


def _has_subreaper() -> bool:
    found = ctypes.c_int()
    return bool(ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(found), 0, 0, 0) == 0)
