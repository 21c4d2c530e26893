"""The metrics of an agent, which Prometheus reads, and the dashboard that shows them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.observe.metrics import PHASES, Metrics
from synapse_agent.observe.requests import RequestReport
from synapse_agent.util.changes import Change
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ServerError

ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "examples" / "grafana" / "dashboard.json"
HANDBOOK = ROOT / "docs" / "guides" / "team.md"
NAME = re.compile(r"\b((?:synapse_agent|process)_[a-z_]+)\b")


@pytest.fixture
def own(tmp_path: Path, write_plugin: Callable[..., Path]) -> Iterator[EmbeddedAgent]:
    """An agent with a working action and a failing one."""
    main = "def go():\n    return 1\ndef bad():\n    raise ValueError\n"
    actions = "{go: 'main:go', bad: 'main:bad', held: {entrypoint: 'main:go', method: serve}}"
    config = f"code: small\nversion: 1.0.0\nactions: {actions}\n"
    write_plugin(tmp_path / "plugins" / "small", {"config.yaml": config, "main.py": main})
    (tmp_path / "token").write_text("prometheus-secret")
    files = (f"prometheus={tmp_path}/token:read",)
    with EmbeddedAgent(tmp_path / "plugins", token_files=files, max_concurrent_runs=3) as agent:
        yield agent


def scrape(agent: EmbeddedAgent) -> str:
    """Fetch the metrics as Prometheus does."""
    headers = {"Authorization": "Bearer prometheus-secret"}
    found = httpx.get(f"{agent.base_url}/metrics", headers=headers, trust_env=False)
    assert found.headers["content-type"].startswith("text/plain; version=")
    return found.raise_for_status().text


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Parse the metrics; return them by name and labels."""
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}


def figure(text: str, name: str, **labels: str) -> float | None:
    return samples(text).get((f"synapse_agent_{name}", frozenset(labels.items())))


def operate(agent: EmbeddedAgent) -> None:
    with agent.client() as client:
        client.create_plugin_release("small", "1.0.0")
        for _ in range(2):
            client.run_plugin_release("small@1.0.0", "go")
        with pytest.raises(ServerError):
            client.run_plugin_release("small@1.0.0", "bad")


def test_figures_count_runs_and_requests_and_measure_stores(own: EmbeddedAgent) -> None:
    """The labels are release, action and outcome, route and status, phase, and store."""
    operate(own)
    until(lambda: figure(scrape(own), "environments"))
    text = scrape(own)
    release = {"release": "small@1.0.0"}
    assert figure(text, "runs_total", **release, action="go", status="SUCCEEDED") == 2
    assert figure(text, "runs_total", **release, action="bad", status="FAILED") == 1
    run = {"route": "/plugin_releases/{lookup}/run/", "method": "POST"}
    assert figure(text, "requests_total", **run, status="200") == 2
    assert figure(text, "requests_total", **run, status="500") == 1
    for phase in ("queued", "action"):
        assert figure(text, "run_duration_seconds_count", phase=phase) == 3
        assert (figure(text, "run_duration_seconds_sum", phase=phase) or 0) > 0
    assert figure(text, "run_capacity") == 3
    assert figure(text, "jobs", state="running") == figure(text, "jobs", state="waiting") == 0
    assert figure(text, "environments") == 1
    assert (figure(text, "store_bytes", store="environments") or 0) > 0
    assert (figure(text, "processes", kind="zygote") or 0) >= 1
    assert samples(text)["process_resident_memory_bytes", frozenset()] > 2**20


def test_debug_runs_are_one_figure(own: EmbeddedAgent) -> None:
    """Callers choose the action names of debug runs: a metric for each would have no upper limit."""
    with own.client() as client:
        for name in ("one", "two"):
            config = {"actions": {name: "m:act"}}
            client.run_debug_plugin_release(name, config=config, modules={"m": "def act(): pass\n"})
    assert figure(scrape(own), "runs_total", release="debug", action="", status="SUCCEEDED") == 2


def test_figures_of_a_run_take_few_calls() -> None:
    """At most 2% of the 1,300 calls of functions for a warm run; `make bench` measures their time."""
    metrics = Metrics([])
    request = RequestReport("POST", "/", "/plugin_releases/{lookup}/run/", 200, 0.005, None, "t", "127.0.0.1", "1")
    facts = {"release": "small@1.0.0", "action": "go", "status": "SUCCEEDED", "timings": dict.fromkeys(PHASES, 0.001)}
    end = Change("job", "ended", "a", facts)
    counts: list[int] = []
    for _ in range(2):  # the first run also makes the figures
        counts.append(0)
        sys.setprofile(lambda _frame, event, _function: count(event, counts))
        try:
            metrics.note_request(request)
            metrics.note_change(end)
        finally:
            sys.setprofile(None)
    assert 2 < counts[1] <= 26


def count(event: str, counts: list[int]) -> None:
    """Count the calls that a profile function is notified of."""
    counts[-1] += event in ("call", "c_call")


def test_figures_count_the_workers_of_served_models(own: EmbeddedAgent) -> None:
    """Their memory is measured, too; their calls count as runs."""
    operate(own)
    before = figure(scrape(own), "kept_memory_bytes") or 0
    with own.client() as client:
        client.run_plugin_release("small@1.0.0", "held")
        text = scrape(own)
        assert figure(text, "processes", kind="worker") == 1
        assert (figure(text, "kept_memory_bytes") or 0) > before + 2**20
        assert figure(text, "runs_total", release="small@1.0.0", action="held", status="SUCCEEDED") == 1
        client.delete_serve_application("small@1.0.0:held")
    assert figure(scrape(own), "processes", kind="worker") == 0


def test_figures_ask_for_a_token(own: EmbeddedAgent) -> None:
    """The names and the use of releases are only for the agent's own callers."""
    assert httpx.get(f"{own.base_url}/metrics", trust_env=False).status_code == 401
    with own.client() as client:
        headers = {"Authorization": own.token}
        assert httpx.post(f"{own.base_url}/metrics", headers=headers, trust_env=False).status_code == 405
        client.health_check()


def test_dashboard_and_handbook_have_the_figures_that_exist(own: EmbeddedAgent) -> None:
    """Both have all of the agent's own metrics, and no others."""
    operate(own)
    until(lambda: figure(scrape(own), "environments"))
    names = {name for name, _ in samples(scrape(own))}
    board = json.loads(DASHBOARD.read_text())
    shown = {name for panel in board["panels"] for each in panel["targets"] for name in NAME.findall(each["expr"])}
    assert shown - names == set()
    own_names = {name for name in names if name.startswith("synapse_agent_") and not name.endswith("_created")}
    assert own_names - shown == set()
    section = HANDBOOK.read_text(encoding="utf-8").partition("## Metrics for Prometheus\n")[2].partition("\n## ")[0]
    described = set(NAME.findall(section))
    families = {re.sub("_(bucket|count|sum)$", "", name) for name in names}
    assert described - families == set()
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in own_names} - described == set()


def test_health_shows_the_load(own: EmbeddedAgent) -> None:
    """It has the number of running and waiting runs, the limit, and the time of the agent's start."""
    with own.client() as client:
        health = client.health_check()
        assert (health["running"], health["waiting"], health["capacity"]) == (0, 0, 3)
        assert 0 < health["uptime"] < 60
        assert client.check_readiness() == {"status": "ok"}


def test_an_agent_that_can_take_no_run_is_not_ready(plugins: Path, tmp_path: Path) -> None:
    """It reports the reason, even without a token; it is ready again when a run ends."""
    go = tmp_path / "go"
    limits = {"max_concurrent_runs": 1, "max_queued_runs": 0, "allow_write": (tmp_path,)}
    with EmbeddedAgent(plugins, **limits) as agent, agent.client() as client:
        client.create_plugin_release("tools", "1.0.0")
        client.run_plugin_release("tools@1.0.0", "wait_in_background", params={"path": str(go)}, job_id="waits")
        with (
            AgentClient(agent.base_url, max_retries=0) as stranger,
            pytest.raises(ServerError, match="limit") as caught,
        ):
            stranger.check_readiness()
        assert (caught.value.status_code, caught.value.error_type) == (503, "unavailable")
        until(lambda: client.health_check()["running"] == 1)
        go.touch()
        client.wait_for_job("waits")
        until(lambda: client.check_readiness()["status"] == "ok")
