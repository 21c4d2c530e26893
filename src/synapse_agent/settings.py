"""The settings of an agent."""

# Without postponed annotations: what `Annotated` adds to a field is read from the class.

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

from synapse_agent.errors import StartError, UsageError
from synapse_agent.options import (
    ACCESS,
    CLUSTER,
    DATA,
    DEVELOPMENT,
    LIMITS,
    OBSERVE,
    PLUGINS,
    RUNS,
    SANDBOX,
    SIZE,
    Option,
    option_name,
    option_of,
    type_of,
)
from synapse_agent.util.cpus import usable_cpus
from synapse_agent.util.hosts import host_name, is_loopback_host
from synapse_agent.util.memory import usable_memory
from synapse_agent.util.sizes import LARGEST_NUMBER, MEBIBYTE

__all__ = [
    "Settings",
    "StartError",
    "UsageError",
    "check_plugins_folder",
    "data_folder",
    "default",
    "default_data_dir",
    "for_other_machines",
]

_DAY = 86_400.0
_LONGEST_DAYS = 36_500
"""A century; Python's calendar ends with the year 9999, and starts with the year 1."""
RUNNERS = ("local", "ray")
_CHOICES = {
    "access_log": ("all", "changes", "none"),
    "log_level": ("debug", "info", "warning", "error"),
    "log_format": ("text", "json"),
}
RUNS_ON_A_CLUSTER = 256
"""The nodes limit the runs at once; this limits how many are sent to them."""
HIGHEST_PRIORITY = 1000
_RAY_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]]+):([0-9]{1,5})")
_LARGEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of an agent; the defaults are safe on loopback.

    A field is the only definition of its setting: the option of `serve`, its help, its variable, its key in a
    configuration file and its row in the reference are derived from it.
    """

    plugins: Annotated[
        tuple[Path, ...],
        Option(PLUGINS, "Folder of plugin folders and zip archives. Repeatable; the first match counts.", "DIR"),
    ] = ()
    backend: Annotated[
        str | None, Option(PLUGINS, "Address of a backend for plugins that no --plugins folder has.", "URL")
    ] = None
    """Without folders and backend, an agent only has debug runs."""
    backend_token: Annotated[
        str | None,
        Option(
            PLUGINS,
            "Token for the backend's origin. Others can read a command line: prefer --backend-token-file.",
            "TOKEN",
        ),
    ] = field(default=None, repr=False)
    backend_allow: Annotated[
        tuple[str, ...],
        Option(PLUGINS, "Non-public host, address or network that the backend's records may use. Repeatable.", "HOST"),
    ] = ()
    backend_connect_timeout: Annotated[
        float, Option(PLUGINS, "Time limit for connecting to the backend.", "SECONDS")
    ] = 5.0
    backend_read_timeout: Annotated[float, Option(PLUGINS, "Time limit for pauses of the backend.", "SECONDS")] = 30.0
    backend_time_limit: Annotated[float, Option(PLUGINS, "Time limit for fetching a release.", "SECONDS")] = 540.0
    """Less than the 600 s that clients wait for it, so that they see the reason."""
    max_archive_bytes: Annotated[
        int, Option(PLUGINS, "Maximum size of an archive from the backend.", SIZE, name="--max-archive-size")
    ] = 1024 * MEBIBYTE
    max_plugin_files: Annotated[int, Option(PLUGINS, "Maximum number of files in a plugin.", "N", least=1)] = 20_000
    max_plugin_size: Annotated[int, Option(PLUGINS, "Maximum size of an unpacked plugin.", SIZE, least=1)] = (
        4096 * MEBIBYTE
    )
    max_archive_ratio: Annotated[
        int, Option(PLUGINS, "Maximum size of an unpacked archive, in multiples of its size.", "N", least=1)
    ] = 200
    host: Annotated[str, Option(ACCESS, "Address to listen on.", "ADDRESS")] = "127.0.0.1"
    port: Annotated[
        int,
        Option(ACCESS, "Port to listen on; 0 picks a free one.", "PORT", least=0, most=_LARGEST_PORT, served=8000),
    ] = 0
    token: Annotated[
        str | None,
        Option(
            ACCESS,
            "Token that callers must send. Others can read a command line: prefer --token-file.",
            "TOKEN",
            shown="generated, and stored in the data folder",
        ),
    ] = field(default=None, repr=False)
    """Required in `Authorization`; without it and `token_files`, no token is needed."""
    token_files: Annotated[
        tuple[str, ...],
        Option(
            ACCESS,
            "File with a token that callers may send; - for standard input. NAME appears in logs and records, "
            ":read makes it read-only. Repeatable.",
            "[NAME=]FILE[:read]",
            name="--token-file",
        ),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        Option(
            ACCESS,
            "Allowed host name in requests, besides loopback and the agent's address. Repeatable.",
            "NAME",
            name="--allowed-host",
        ),
    ] = ()
    tls_cert: Annotated[
        Path | None,
        Option(ACCESS, "Certificate with its intermediate ones, in PEM. Enables TLS.", "FILE"),
    ] = None
    tls_key: Annotated[Path | None, Option(ACCESS, "The certificate's key, in PEM.", "FILE")] = None
    max_body_bytes: Annotated[
        int, Option(ACCESS, "Maximum size of a request body.", SIZE, name="--max-body-size", least=1)
    ] = 64 * MEBIBYTE
    request_timeout: Annotated[
        float, Option(ACCESS, "Time limit for a request's head, and for pauses in its body.", "SECONDS")
    ] = 20.0
    answer_timeout: Annotated[
        float,
        Option(
            ACCESS,
            "Time limit for delivering responses when the agent stops, after its last run.",
            "SECONDS",
        ),
    ] = 3.0
    """Together with `grace`, this is well below the 10 s after which `docker stop` kills."""
    runner: Annotated[str, Option(RUNS, "Runner of actions: local, or ray for a Ray cluster.", "NAME")] = "local"
    max_concurrent_runs: Annotated[
        int | None,
        Option(
            RUNS,
            "Maximum number of runs at once.",
            "N",
            least=1,
            shown=f"the cores it may use; on a cluster {RUNS_ON_A_CLUSTER}",
        ),
    ] = None
    reserve: Annotated[
        int | None,
        Option(
            RUNS,
            "Number of runs at once reserved for calls that wait for their result.",
            "N",
            least=0,
            shown="1, if there are two or more",
        ),
    ] = None
    max_priority: Annotated[
        int, Option(RUNS, "Highest priority that a run may request.", "N", least=0, most=HIGHEST_PRIORITY)
    ] = 10
    gpus: Annotated[
        int | None,
        Option(
            RUNS,
            "GPUs for runs that request them; other runs then see none.",
            "N",
            least=0,
            shown="those found, which other runs also see",
        ),
    ] = None
    max_queued_runs: Annotated[int, Option(RUNS, "Maximum number of waiting runs; more get 429.", "N", least=0)] = 1000
    max_zygotes: Annotated[
        int, Option(RUNS, "Maximum number of idle processes, each for a release and its environment.", "N", least=1)
    ] = 8
    max_warm_memory: Annotated[
        int | None,
        Option(RUNS, "Maximum memory of idle processes, by PSS.", SIZE, least=1, shown="a quarter of what it may use"),
    ] = None
    warm: Annotated[
        tuple[str, ...],
        Option(RUNS, "Release to prepare at the start, before its first run. Repeatable.", "CODE@VERSION"),
    ] = ()
    time_limit: Annotated[float | None, Option(RUNS, "Time limit for actions.", "SECONDS")] = None
    grace: Annotated[float, Option(RUNS, "Time limit for an action to end by itself after a stop.", "SECONDS")] = 5.0
    stop_runs: Annotated[
        bool,
        Option(
            RUNS,
            "End jobs with the agent; without it those of `method: job` continue.",
            name="--stop-runs",
            served=False,
        ),
    ] = True
    orphan_limit_days: Annotated[
        float,
        Option(RUNS, "How long jobs continue without an agent before they are ended.", "DAYS", name="--orphan-limit"),
    ] = 7.0
    pythons: Annotated[
        tuple[Path, ...],
        Option(RUNS, "Additional interpreter for plugins. Repeatable.", "PATH", name="--python"),
    ] = ()
    sandbox: Annotated[
        bool,
        Option(SANDBOX, "Restrict actions to writing into their own folders, if the kernel supports it."),
    ] = True
    require_isolation: Annotated[
        str | None,
        Option(
            SANDBOX,
            "Start only if runs are isolated by at least this: landlock, or namespaces, which includes it.",
            "LEVEL",
        ),
    ] = None
    allow_write: Annotated[
        tuple[Path, ...],
        Option(SANDBOX, "Additional file or folder that actions may write to. Repeatable.", "PATH"),
    ] = ()
    action_env: Annotated[
        tuple[str, ...],
        Option(
            SANDBOX,
            "Variable for actions, as CODE:NAME for one plugin; without a value, the agent's own. Repeatable. "
            "Others can read a command line: prefer --action-env-file.",
            "NAME[=VALUE]",
        ),
    ] = field(default=(), repr=False)
    action_env_files: Annotated[
        tuple[Path, ...],
        Option(
            SANDBOX,
            "File of mode 0600 with one such variable per line. Repeatable.",
            "FILE",
            name="--action-env-file",
        ),
    ] = ()
    allow_debug: Annotated[
        bool | None,
        Option(SANDBOX, "Allow debug runs.", name="--allow-debug/--no-debug", shown="on loopback only"),
    ] = None
    allow_push: Annotated[bool, Option(SANDBOX, "Allow callers to upload releases.")] = False
    debug_roots: Annotated[
        tuple[Path, ...],
        Option(
            SANDBOX,
            "Folder that must contain a debug run's plugin_path. Repeatable.",
            "DIR",
            name="--debug-root",
            shown="any on loopback, else none",
        ),
    ] = ()
    max_debug_size: Annotated[
        int,
        Option(LIMITS, "Maximum size of a debug run's plugin_path, which is copied for each run.", SIZE, least=1),
    ] = 512 * MEBIBYTE
    max_cpu_seconds: Annotated[
        int | None, Option(LIMITS, "Maximum CPU time of each process of a run, in seconds.", "N", least=1)
    ] = None
    max_memory: Annotated[
        int | None, Option(LIMITS, "Maximum address space of each process of a run, such as 8GiB.", SIZE, least=1)
    ] = None
    max_file_size: Annotated[int | None, Option(LIMITS, "Maximum size of a run's file.", SIZE, least=1)] = None
    max_processes: Annotated[
        int | None,
        Option(
            LIMITS,
            "Processes and threads of a release's runs; if the kernel can't count these, of the agent's user.",
            "N",
            least=1,
            shown="4096, or 1024 for each CPU, if they can be counted for each release",
        ),
    ] = None
    data_dir: Annotated[
        Path,
        Option(
            DATA,
            "Folder for releases, jobs and environments; one running agent at a time.",
            "DIR",
            shown="the user's state folder",
        ),
    ]
    idempotency_hours: Annotated[float, Option(DATA, "How long a finished run keeps its Idempotency-Key.", "HOURS")] = (
        24.0
    )
    keep_params: Annotated[
        bool, Option(DATA, "Store the params of runs in their records, except those that an action marks as secret.")
    ] = True
    keep_jobs_days: Annotated[float, Option(DATA, "How long finished jobs are kept.", "DAYS")] = 30.0
    max_jobs_bytes: Annotated[
        int,
        Option(
            DATA,
            "Maximum size of all logs and results of finished jobs; the oldest are removed first.",
            SIZE,
            name="--max-jobs-size",
        ),
    ] = 10 * 1024 * MEBIBYTE
    storage_dir: Annotated[
        Path | None,
        Option(
            DATA,
            "Folder of the plugins' storages; on a cluster, one shared by its nodes.",
            "DIR",
            shown="the data folder, on a cluster each node's own",
        ),
    ] = None
    max_storage_bytes: Annotated[
        int,
        Option(
            DATA,
            "Maximum size of a plugin's storage; beyond it, runs can only read.",
            SIZE,
            name="--max-storage-size",
            least=1,
        ),
    ] = 50 * 1024 * MEBIBYTE
    cache_dir: Annotated[
        Path | None,
        Option(
            DATA,
            "One cache for all plugins, which must trust each other. The agent does not limit its size.",
            "DIR",
            shown="one for each plugin, in the data folder",
        ),
    ] = None
    max_cache_bytes: Annotated[
        int,
        Option(
            DATA,
            "Maximum size of all plugins' own caches; the least recently used are removed first.",
            SIZE,
            name="--max-cache-size",
            least=1,
        ),
    ] = 50 * 1024 * MEBIBYTE
    keep_files_days: Annotated[float, Option(DATA, "How long an uploaded file is kept after its last use.", "DAYS")] = (
        7.0
    )
    max_files_bytes: Annotated[
        int,
        Option(
            DATA,
            "Maximum size of all uploaded files; the least recently used are removed first.",
            SIZE,
            name="--max-files-size",
            least=1,
        ),
    ] = 50 * 1024 * MEBIBYTE
    allow_requirement_urls: Annotated[
        bool,
        Option(SANDBOX, "Allow requirements at addresses, indexes that a plugin names, and paths outside of it."),
    ] = False
    index_url: Annotated[str | None, Option(PLUGINS, "Index for requirements.", "URL", shown="that of pip and uv")] = (
        field(default=None, repr=False)
    )
    """It may contain a password."""
    extra_index_urls: Annotated[
        tuple[str, ...],
        Option(PLUGINS, "Additional index for requirements. Repeatable.", "URL", name="--extra-index-url"),
    ] = field(default=(), repr=False)
    max_environments: Annotated[
        int, Option(DATA, "Maximum number of environments; the least recently used are removed first.", "N", least=1)
    ] = 64
    max_environments_bytes: Annotated[
        int,
        Option(
            DATA,
            "Maximum size of all environments, without counting that they share files.",
            SIZE,
            name="--max-environments-size",
        ),
    ] = 50 * 1024 * MEBIBYTE
    ray_address: Annotated[
        str | None, Option(CLUSTER, "The head of the cluster, with --runner ray; never guessed.", "HOST:PORT")
    ] = None
    ray_wait: Annotated[
        float, Option(CLUSTER, "How long a run waits for room on the cluster before it is refused.", "SECONDS")
    ] = 3600.0
    access_log: Annotated[
        str,
        Option(OBSERVE, "Requests to log: all, none, or changes (those that change something or fail).", "WHICH"),
    ] = "changes"
    log_level: Annotated[str, Option(OBSERVE, "Lowest level to log: debug, info, warning or error.", "LEVEL")] = "info"
    log_format: Annotated[str, Option(OBSERVE, "Format of log lines: text or json.", "FORMAT")] = "text"
    check_answers: Annotated[
        bool,
        Option(DEVELOPMENT, "Check each response against the contract before sending it (jsonschema-rs).", shown="off"),
    ] = field(default_factory=lambda: os.environ.get("SYNAPSE_AGENT_CHECK_ANSWERS") == "1")

    @property
    def runs_at_once(self) -> int:
        """How many runs execute at once; the next ones wait for their turn."""
        return self.max_concurrent_runs or (RUNS_ON_A_CLUSTER if self.runner == "ray" else usable_cpus())

    @property
    def orphan_limit(self) -> float | None:
        """How many seconds jobs continue without an agent; None if they end with it."""
        return None if self.stop_runs else self.orphan_limit_days * _DAY

    @property
    def warm_memory(self) -> int:
        """Limit for the memory of kept processes in bytes."""
        return self.max_warm_memory or usable_memory() // 4

    @property
    def reserved_runs(self) -> int:
        """How many of these are reserved for calls that wait for their result."""
        return min(1, self.runs_at_once - 1) if self.reserve is None else self.reserve

    def __post_init__(self) -> None:
        self._check_types()
        _check_runner(self.runner, self.ray_address)
        _check_positive(self.orphan_limit_days, "orphan limit must be more than 0 days", hint="or use --stop-runs")
        _check_positive(self.ray_wait, "wait for room on the cluster must be more than 0 seconds", hint="remove it")
        for what, days in (("Jobs", self.keep_jobs_days), ("Files", self.keep_files_days)):
            if not 0 < days <= _LONGEST_DAYS:
                rule = f"more than 0 days and at most {_LONGEST_DAYS}"
                raise UsageError(f"{what} must be kept for {rule}, not {days:g}.")
        if not 0 <= self.idempotency_hours <= 24 * _LONGEST_DAYS:
            rule = f"from 0 to {24 * _LONGEST_DAYS}"
            raise UsageError(f"The setting idempotency_hours must be {rule}, not {self.idempotency_hours:g}.")
        if self.backend_token is not None and self.backend is None:
            raise UsageError("A backend token needs a backend: add --backend, or remove the token.")
        if self.time_limit is not None:
            _check_positive(self.time_limit, "time limit must be more than 0 seconds", hint="remove it for none")
        for name in (
            *("backend_connect_timeout", "backend_read_timeout", "backend_time_limit"),
            *("max_archive_bytes", "max_environments_bytes"),
        ):
            _check_positive(
                getattr(self, name), f"setting {name} must be more than 0", hint="remove it for its default"
            )
        self._check_numbers()
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                option = option_name(_field(name))
                raise UsageError(f"{option} {getattr(self, name)!r} is unknown. Choose from {', '.join(choices)}.")
        self._check_combinations()
        _check_names(self.allowed_hosts)
        _check_there("--allow-write", self.allow_write)
        _check_there("--debug-root", self.debug_roots)
        _check_there("--storage-dir", [] if self.storage_dir is None else [self.storage_dir])
        _check_there("--cache-dir", [] if self.cache_dir is None else [self.cache_dir])

    def _check_types(self) -> None:
        for each in fields(self):
            value, kind = getattr(self, each.name), type_of(each)
            is_number = kind in (int, float, int | None, float | None)
            if is_number and not isinstance(value, int | float) and not isinstance(value, kind):
                raise UsageError(f"The setting {each.name} must be a number (bytes for a size), not {value!r}.")

    def _check_numbers(self) -> None:
        for each in fields(self):
            value, option = getattr(self, each.name), option_of(each)
            if option.least is None or value is None or option.least <= value <= option.most:
                continue
            most = "" if option.most == LARGEST_NUMBER else f" to {option.most}"
            raise UsageError(f"{option_name(each)} must be a whole number from {option.least}{most}, not {value}.")

    def _check_combinations(self) -> None:
        if self.reserved_runs >= self.runs_at_once:
            most = f"at most {self.runs_at_once - 1} of {self.runs_at_once} at once"
            raise UsageError(f"--reserve {self.reserve} leaves no run for jobs in the background. Reserve {most}.")
        if self.token is None and not self.token_files and not self.is_on_loopback:
            raise UsageError("An agent that listens beyond this machine needs a token: add --token-file or --token.")
        if self.debug_roots and not self.takes_debug_runs:
            raise UsageError("--debug-root needs debug runs: add --allow-debug, or remove it.")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError("--tls-cert and --tls-key go together: pass both or neither.")

    @property
    def is_on_loopback(self) -> bool:
        """Whether the agent can only be reached from this machine."""
        return is_loopback_host(self.host)

    @property
    def takes_debug_runs(self) -> bool:
        """Whether debug runs are allowed at all."""
        return self.is_on_loopback if self.allow_debug is None else self.allow_debug


def _check_there(option: str, paths: Iterable[Path]) -> None:
    for path in paths:
        if not os.access(path, os.F_OK):
            raise UsageError(f"{option} {path} does not exist. Create it first, or remove the option.")


def _check_names(hosts: Iterable[str]) -> None:
    for host in hosts:
        if host_name(f"[{host}]" if ":" in host else host) != host.lower().rstrip("."):
            raise UsageError(f"--allowed-host {host!r} is not a host name. Remove scheme, port and brackets.")


def _check_positive(value: float, rule: str, *, hint: str) -> None:
    if not value > 0:
        raise UsageError(f"The {rule}, not {value:g}; {hint}.")


def for_other_machines(settings: Settings) -> Settings:
    """Return the settings for a cluster's nodes: without secrets, and without those of access to the agent.

    Secret fields are those that `repr` omits.
    """
    hidden: dict[str, Any] = {each.name: each.default for each in fields(settings) if not each.repr}
    door: dict[str, Any] = {
        "host": "127.0.0.1",
        "tls_cert": None,
        "tls_key": None,
        "token_files": (),
        "debug_roots": (),
    }
    return replace(settings, **hidden, **door)


def _check_runner(runner: str, address: str | None) -> None:
    if runner not in RUNNERS:
        raise UsageError(f"The runner {runner!r} is unknown. Choose from {', '.join(RUNNERS)}.")
    if runner != "ray":
        if address is not None:
            raise UsageError("A Ray address is for the runner ray: add --runner ray, or remove --ray-address.")
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
    """Return a folder of plugins; raise `StartError` if it does not exist."""
    if not folder.is_dir():
        raise StartError(f"The plugins folder {folder} was not found, or is not a folder. Pass another with --plugins.")
    return folder


def _field(name: str) -> Any:
    return next(each for each in fields(Settings) if each.name == name)


def default(name: str) -> Any:
    """Return the default of a setting."""
    return Settings.__dataclass_fields__[name].default


def default_data_dir() -> Path:
    """Return the user's folder for the agent's data: `$XDG_STATE_HOME/synapse-agent`."""
    state = os.environ.get("XDG_STATE_HOME")
    return Path(state or Path.home() / ".local" / "state") / "synapse-agent"


def data_folder(path: Path | None = None) -> Path:
    """Return the absolute path of a data folder as the agent and all commands understand it; None is the default."""
    return Path(os.path.abspath((path or default_data_dir()).expanduser()))  # noqa: PTH100 - `absolute()` leaves `..`
