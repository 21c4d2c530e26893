"""What an agent is told when it is started."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from synapse_agent.util.cpus import usable_cpus
from synapse_agent.util.hosts import host_name, is_loopback_host

MEBIBYTE = 2**20
LARGEST_NUMBER = 2**63 - 1
"""What the kernel can count to, and Ray."""
_NUMBERS = (
    *("max_concurrent_runs", "max_zygotes", "max_cpu_seconds", "max_memory", "max_file_size", "max_processes"),
    *("max_plugin_files", "max_plugin_size", "max_archive_ratio", "max_debug_size"),
)
_LONGEST_DAYS = 36_500
"""A century; Python's calendar ends after the year 9999, and begins with the year 1."""
RUNNERS = ("local", "ray")
RUNS_ON_A_CLUSTER = 256
"""Its nodes bound what runs at once; this bounds what is on its way there."""
_RAY_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]]+):([0-9]{1,5})")
_LARGEST_PORT = 65535


class StartError(Exception):
    """The agent cannot start; the message is one line that says what to do."""

    exit_code = 1


class UsageError(StartError):
    """The agent was told things that don't go together."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an agent can be told; what is left out has a default that is safe on loopback."""

    plugins: tuple[Path, ...] = ()
    """Folders to fetch plugins from, in order."""
    backend: str | None = None
    """Address of a backend, which is asked for what the folders lack. Without both, an agent has debug runs alone."""
    backend_token: str | None = field(default=None, repr=False)
    """Sent to the backend's own origin, and to no other."""
    backend_allow: tuple[str, ...] = ()
    """Hosts, addresses and networks that records may name although they are not public."""
    backend_connect_timeout: float = 5.0
    backend_read_timeout: float = 30.0
    """Seconds that a backend may be silent."""
    backend_time_limit: float = 540.0
    """Seconds that a release may take to come; less than the 600 that clients wait for it, so that they learn why."""
    max_archive_bytes: int = 1024 * MEBIBYTE
    data_dir: Path
    """Releases, jobs and environments; one running agent at a time."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 picks a free one."""
    token: str | None = field(default=None, repr=False)
    """What `Authorization` must hold; None lets everyone in."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that requests may be addressed to, besides loopback's and the address they come in on."""
    max_body_bytes: int = 64 * MEBIBYTE
    request_timeout: float = 20.0
    """Seconds that a request's head may take, and that its body may pause."""
    answer_timeout: float = 5.0
    """Seconds that answers get to reach their callers when the agent stops and its last run has ended."""
    max_concurrent_runs: int | None = None
    """None for as many as affinity and the cgroup's CPU quota allow, or 256 on a cluster."""
    max_zygotes: int = 8
    """Processes that are kept ready, one for each release and environment, besides those that runs are using."""
    max_queued_runs: int = 1000
    """Runs that wait for their turn; one more is refused."""
    time_limit: float | None = None
    """Seconds that an action may take; None for no limit."""
    max_cpu_seconds: int | None = None
    """Seconds of CPU time that each process of a run gets; None for no limit, here and for those that follow."""
    max_memory: int | None = None
    """Bytes of address space of each process of a run."""
    max_file_size: int | None = None
    """Bytes of a file that a run writes."""
    max_processes: int | None = None
    """Processes and threads of the agent's user, those of other runs and the agent included; root is exempt from it."""
    sandbox: bool = True
    """Hold actions to writing into their own folder, where the kernel has Landlock."""
    allow_write: tuple[Path, ...] = ()
    """Files and folders that actions may write to besides."""
    allow_debug: bool | None = None
    """Take debug runs; None for yes on loopback and no beyond it."""
    debug_roots: tuple[Path, ...] = ()
    """Folders that a debug run's `plugin_path` must lie in; without any, anywhere on loopback and nowhere beyond it."""
    tls_cert: Path | None = None
    """File with the certificate, followed by its intermediate ones, in PEM; with it the agent speaks TLS."""
    tls_key: Path | None = None
    """File with the certificate's key in PEM."""
    max_plugin_files: int = 20_000
    max_plugin_size: int = 4096 * MEBIBYTE
    """Bytes of a plugin's files, unpacked."""
    max_archive_ratio: int = 200
    """What may come out of an archive, in multiples of its own size."""
    max_debug_size: int = 512 * MEBIBYTE
    """Bytes of the files below a debug run's `plugin_path`, which are copied for each run."""
    idempotency_hours: float = 24.0
    """How long a run that has ended still answers for its Idempotency-Key."""
    keep_jobs_days: float = 30.0
    """How long a job that is over is kept, with its log and its result."""
    max_jobs_bytes: int = 10 * 1024 * MEBIBYTE
    """What logs and results of jobs that are over may take together; beyond it the oldest go."""
    grace: float = 10.0
    """Seconds that an action which is told to end gets to do so by itself."""
    pythons: tuple[Path, ...] = ()
    """Interpreters for plugins, besides those found on the machine."""
    allow_requirement_urls: bool = False
    """Take requirements at addresses, indexes that a plugin names, and paths outside it."""
    index_url: str | None = field(default=None, repr=False)
    """Where requirements come from, instead of what pip and uv are configured to; it may hold a password."""
    extra_index_urls: tuple[str, ...] = field(default=(), repr=False)
    """Where they come from as well."""
    max_environments: int = 64
    """Environments to keep; over it, the least recently used go."""
    max_environments_bytes: int = 50 * 1024 * MEBIBYTE
    """What environments may take together, as if they shared no file with each other or with uv's cache."""
    check_answers: bool = field(default_factory=lambda: os.environ.get("SYNAPSE_AGENT_CHECK_ANSWERS") == "1")
    """Compare every answer with the contract before it leaves: for those who develop the agent."""
    runner: str = "local"
    """Where actions run: on this machine, or on a Ray cluster (`ray`)."""
    ray_address: str | None = None
    """`host:port` of the cluster's head; never guessed."""
    ray_wait: float = 3600.0
    """Seconds that a run waits for room on the cluster before it is refused."""

    @property
    def runs_at_once(self) -> int:
        """How many runs go on at once; the next ones wait for their turn."""
        return self.max_concurrent_runs or (RUNS_ON_A_CLUSTER if self.runner == "ray" else usable_cpus())

    def __post_init__(self) -> None:
        self._check_types()
        _check_runner(self.runner, self.ray_address)
        _check_positive(self.ray_wait, "wait for room on the cluster must be more than 0 seconds", hint="leave it out")
        if not 0 < self.keep_jobs_days <= _LONGEST_DAYS:
            rule = f"more than 0 days and at most {_LONGEST_DAYS}"
            raise UsageError(f"Jobs must be kept for {rule}, not {self.keep_jobs_days:g}.")
        if not 0 <= self.idempotency_hours <= 24 * _LONGEST_DAYS:
            rule = f"from 0 to {24 * _LONGEST_DAYS}"
            raise UsageError(f"The setting idempotency_hours must be {rule}, not {self.idempotency_hours:g}.")
        if self.backend_token is not None and self.backend is None:
            raise UsageError("There is a token for a backend, but no backend: give --backend, or leave the token out.")
        if self.time_limit is not None:
            _check_positive(self.time_limit, "time limit must be more than 0 seconds", hint="leave it out for none")
        for name in (
            *("backend_connect_timeout", "backend_read_timeout", "backend_time_limit", "max_archive_bytes"),
            *("max_environments", "max_environments_bytes"),
        ):
            _check_positive(
                getattr(self, name), f"setting {name} must be more than 0", hint="leave it out for its default"
            )
        self._check_numbers()
        self._check_combinations()
        _check_names(self.allowed_hosts)
        _check_there("--allow-write", self.allow_write)
        _check_there("--debug-root", self.debug_roots)

    def _check_types(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            may_be_none = str(each.type).endswith(" | None")
            is_number = str(each.type).removesuffix(" | None") in ("int", "float")
            if is_number and not (isinstance(value, int | float) or (value is None and may_be_none)):
                raise UsageError(f"The setting {each.name} must be a number, not {value!r}: bytes where it is a size.")

    def _check_numbers(self) -> None:
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and not 1 <= value <= LARGEST_NUMBER:
                raise UsageError(f"--{name.replace('_', '-')} must be a whole number from 1, not {value}.")

    def _check_combinations(self) -> None:
        if self.token is None and not self.is_on_loopback:
            raise UsageError("An agent that listens beyond this machine needs a token: give --token-file or --token.")
        if self.debug_roots and not self.takes_debug_runs:
            raise UsageError("--debug-root is for an agent that takes debug runs: add --allow-debug, or leave it out.")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError("--tls-cert and --tls-key go together: give both, or none of them.")

    @property
    def is_on_loopback(self) -> bool:
        """Whether the agent can be reached from this machine alone."""
        return is_loopback_host(self.host)

    @property
    def takes_debug_runs(self) -> bool:
        """Whether debug runs are allowed at all."""
        return self.is_on_loopback if self.allow_debug is None else self.allow_debug


def _check_there(option: str, paths: Iterable[Path]) -> None:
    for path in paths:
        if not os.access(path, os.F_OK):
            raise UsageError(f"{option} {path} is not there. Make it first, or leave it out.")


def _check_names(hosts: Iterable[str]) -> None:
    for host in hosts:
        if host_name(f"[{host}]" if ":" in host else host) != host.lower().rstrip("."):
            raise UsageError(f"--allowed-host {host!r} is no name of a host: leave out scheme, port and brackets.")


def _check_positive(value: float, rule: str, *, hint: str) -> None:
    if not value > 0:
        raise UsageError(f"The {rule}, not {value:g}; {hint}.")


def for_other_machines(settings: Settings) -> Settings:
    """Give the settings as a cluster's nodes may have them: no secret, and nothing of who may reach the agent and how.

    What must not be seen is what `repr` leaves out.
    """
    hidden: dict[str, Any] = {each.name: each.default for each in fields(settings) if not each.repr}
    door: dict[str, Any] = {"host": "127.0.0.1", "tls_cert": None, "tls_key": None, "debug_roots": ()}
    return replace(settings, **hidden, **door)


def _check_runner(runner: str, address: str | None) -> None:
    if runner not in RUNNERS:
        raise UsageError(f"There is no runner {runner!r}; there are {' and '.join(RUNNERS)}.")
    if runner != "ray":
        if address is not None:
            raise UsageError("A Ray address is for the runner ray: add --runner ray, or leave --ray-address out.")
        return
    if address is None:
        raise UsageError("The runner ray needs the cluster's address: add --ray-address HOST:PORT.")
    match = _RAY_ADDRESS.fullmatch(address)
    if match is None or not 1 <= int(match[2]) <= _LARGEST_PORT:
        raise UsageError(
            f"The Ray address {address!r} is not of the form HOST:PORT, such as 10.0.0.5:6379. The agent joins the "
            "cluster through the Ray node of its own machine, not through a Ray Client server (ray://)."
        )


def check_plugins_folder(folder: Path) -> Path:
    """Give a folder of plugins; `StartError` where it is none."""
    if not folder.is_dir():
        raise StartError(f"The plugins folder {folder} is not there, or is no folder. Name one that is with --plugins.")
    return folder


def default_data_dir() -> Path:
    """Give the user's own folder for the agent's data: `$XDG_STATE_HOME/synapse-agent`."""
    state = os.environ.get("XDG_STATE_HOME")
    return Path(state or Path.home() / ".local" / "state") / "synapse-agent"
