"""The settings of an agent, and invalid combinations of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.settings import Settings, UsageError, data_folder, for_other_machines
from synapse_agent.util.cpus import usable_cpus


def settings(**given: Any) -> Settings:
    return Settings(plugins=(Path("x"),), data_dir=Path("x"), **given)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "agent.example.com"])
def test_beyond_loopback_a_token_is_needed(host: str) -> None:
    """It does not matter how the agent is started."""
    with pytest.raises(UsageError, match="needs a token"):
        settings(host=host)
    assert settings(host=host, token="x").host == host


@pytest.mark.parametrize("host", ["Agent.Example.com", "agent", "agent.example.com.", "192.0.2.1", "fd00::1"])
def test_a_name_may_be_allowed_however_it_is_written(host: str) -> None:
    """Names in any case, and addresses, are allowed."""
    assert settings(allowed_hosts=(host,)).allowed_hosts == (host,)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_loopback_none_is_needed(host: str) -> None:
    """An agent may allow every process of its machine."""
    assert settings(host=host).token is None


@pytest.mark.parametrize(
    "name",
    [
        *("max_concurrent_runs", "max_zygotes", "max_cpu_seconds", "max_memory", "max_file_size", "max_processes"),
        *("max_plugin_files", "max_plugin_size", "max_archive_ratio", "max_debug_size"),
    ],
)
@pytest.mark.parametrize("value", [0, -1, 2**63])
def test_a_limit_is_a_number_from_one_that_the_kernel_can_count_to(name: str, value: int) -> None:
    """The message names the option."""
    option = f"--{name.replace('_', '-')}"
    with pytest.raises(UsageError, match=f"{option} must be a whole number from 1, not {value}"):
        settings(**{name: value})
    assert getattr(settings(**{name: 7}), name) == 7


@pytest.mark.parametrize(
    ("name", "value"), [("max_memory", "4GiB"), ("time_limit", "60"), ("port", None), ("keep_jobs_days", [])]
)
def test_a_value_that_should_be_a_number_is_checked(name: str, value: object) -> None:
    """Only options are text: an embedded agent rejects it, with the setting's name."""
    with pytest.raises(UsageError) as caught, EmbeddedAgent(**{name: value}):
        pass
    assert str(caught.value) == f"The setting {name} must be a number (bytes for a size), not {value!r}."


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tls_cert": Path("c")}, "--tls-cert and --tls-key go together"),
        (
            {"max_concurrent_runs": 2, "reserve": 2},
            "--reserve 2 leaves no run for jobs in the background. Reserve at most 1 of 2 at once",
        ),
        ({"tls_key": Path("k")}, "--tls-cert and --tls-key go together"),
        ({"allow_write": (Path("/no/such/folder"),)}, "--allow-write /no/such/folder does not exist"),
        ({"debug_roots": (Path("/no/such/folder"),)}, "--debug-root /no/such/folder does not exist"),
        (
            {"allowed_hosts": ("https://agent.example.com",)},
            "--allowed-host 'https://agent.example.com' is not a host name",
        ),
        ({"allowed_hosts": ("agent.example.com:8443",)}, "--allowed-host 'agent.example.com:8443' is not a host name"),
        ({"allowed_hosts": ("",)}, "--allowed-host '' is not a host name"),
        ({"debug_roots": (Path("/"),), "allow_debug": False}, "add --allow-debug, or remove it"),
        ({"debug_roots": (Path("/"),), "host": "::", "token": "x"}, "add --allow-debug, or remove it"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], said: str) -> None:
    """Nothing is created before that; the embedded agent has the same message."""
    with pytest.raises(UsageError, match=said):
        settings(**given)
    with pytest.raises(UsageError, match=said), EmbeddedAgent("/", **given):
        pass


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"keep_jobs_days": 0}, "kept for more than 0 days and at most 36500, not 0"),
        ({"keep_jobs_days": 1e6}, r"kept for more than 0 days and at most 36500, not 1e\+06"),
        ({"keep_jobs_days": math.nan}, "kept for more than 0 days and at most 36500, not nan"),
        ({"idempotency_hours": -1}, "idempotency_hours must be from 0 to 876000, not -1"),
        ({"idempotency_hours": math.inf}, "idempotency_hours must be from 0 to 876000, not inf"),
    ],
)
def test_a_time_that_cannot_be_counted_is_refused(given: dict[str, Any], said: str) -> None:
    """Otherwise it would be noticed only when the first job ends or is removed."""
    with pytest.raises(UsageError, match=said):
        settings(**given)


@pytest.mark.parametrize(
    ("host", "allow_debug", "expected"),
    [
        ("127.0.0.1", None, True),
        ("127.0.0.1", False, False),
        ("0.0.0.0", None, False),
        ("0.0.0.0", True, True),
    ],
)
def test_debug_runs_are_for_loopback_by_default(host: str, allow_debug: bool | None, expected: bool) -> None:
    """Both can be configured."""
    assert settings(host=host, token="x", allow_debug=allow_debug).takes_debug_runs is expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"runner": "cloud"}, "The runner 'cloud' is unknown. Choose from local, ray."),
        ({"runner": "ray"}, "The runner ray needs the cluster's address: add --ray-address HOST:PORT."),
        ({"ray_address": "10.0.0.5:6379"}, "A Ray address is for the runner ray: add --runner ray"),
        ({"runner": "ray", "ray_address": "auto"}, "The Ray address 'auto' is not of the form HOST:PORT"),
        ({"runner": "ray", "ray_address": "ray://10.0.0.5:10001"}, "not through a Ray Client server (ray://)"),
        ({"runner": "ray", "ray_address": "10.0.0.5"}, "is not of the form HOST:PORT"),
        ({"runner": "ray", "ray_address": "10.0.0.5:99999"}, "is not of the form HOST:PORT"),
        ({"ray_wait": 0}, "The wait for room on the cluster must be more than 0 seconds, not 0"),
    ],
)
def test_a_runner_and_its_address_go_together(given, message) -> None:
    """The error comes before anything is started, with a fix."""
    with pytest.raises(UsageError) as caught:
        settings(**given)
    assert message in str(caught.value)


@pytest.mark.parametrize("address", ["10.0.0.5:6379", "head.cluster.test:6379", "[fe80::1]:6379"])
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    """The host is a name, or an IPv4 or IPv6 address."""
    assert settings(runner="ray", ray_address=address).ray_address == address


def test_how_many_runs_happen_at_once() -> None:
    """The default is the number of cores, or on a cluster, whose nodes limit them, a large number."""
    assert settings().runs_at_once == usable_cpus()
    assert settings(runner="ray", ray_address="10.0.0.5:6379").runs_at_once == 256
    assert settings(max_concurrent_runs=3).runs_at_once == 3
    assert settings(max_concurrent_runs=3).reserved_runs == 1
    assert settings(max_concurrent_runs=3, reserve=2).reserved_runs == 2
    assert settings(max_concurrent_runs=1).reserved_runs == 0


def test_an_agent_ends_before_docker_stop_kills_it() -> None:
    """Of the ten seconds, the time for runs and for callers leaves more than one for the agent itself."""
    waits = Settings(data_dir=Path("x"))
    assert waits.grace + waits.answer_timeout < 9


def test_other_machines_get_no_secret_and_no_setting_of_access(tmp_path: Path) -> None:
    """Secrets and settings of access are removed; all others stay."""
    told = settings(
        token="s3cret",
        host="0.0.0.0",
        backend="http://backend.test",
        backend_token="s3cret too",
        allow_debug=True,
        debug_roots=(tmp_path,),
        max_memory=2**30,
        grace=3,
    )
    bare = for_other_machines(told)
    assert (bare.token, bare.backend_token, bare.host, bare.debug_roots) == (None, None, "127.0.0.1", ())
    assert (bare.max_memory, bare.grace) == (2**30, 3)


def test_a_data_folder_is_the_same_for_the_agent_and_all_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`..` and `~` are resolved, which no shell does in variables and configuration files."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert data_folder(Path("~/other/../data")) == data_folder(Path("data")) == tmp_path / "data"
    assert data_folder() == tmp_path / ".local" / "state" / "synapse-agent"
    with EmbeddedAgent(data_dir="~/data") as agent, agent.client() as client:
        client.health_check()
    assert (tmp_path / "data" / "agent.sqlite3").exists()
