"""What an agent keeps, and the chart of its runs."""

from __future__ import annotations

from pathlib import Path

from synapse_agent import EmbeddedAgent
from synapse_agent.observe.history import MOST_DURATIONS, RunHistory
from synapse_agent.util.changes import Change


def test_operators_see_environments_and_stores(plugins: Path) -> None:
    """With their sizes, and what of the disk is free."""
    with EmbeddedAgent(plugins) as agent, agent.client() as client:
        client.create_plugin_release("tools", "1.0.0")
        client.run_plugin_release("tools@1.0.0", "echo")
        (environment,) = client.list_environments()
        assert (environment["requirements"], environment["usable"]) == ([], True)
        storage = client.get_storage()
        stores = {store["name"]: store["size"] for store in storage["stores"]}
        assert stores["environments"] == environment["size"] > 0
        assert min(stores["releases"], stores["database"]) > 0
        assert 0 < storage["disk_free"] <= storage["disk_total"]
        assert Path(storage["data_dir"]).is_dir()
        points = client.get_job_statistics("hour")["points"]
        assert sum(point["succeeded"] for point in points) == 1


def ended(status: str, seconds: float | None = None) -> Change:
    return Change("job", "ended", "a", {"status": status, "seconds": seconds, "action": "go", "timings": {}})


def test_a_chart_has_each_minute_of_an_hour_and_each_quarter_of_a_day() -> None:
    """Runs stand at the time of their end; what is older than a day is forgotten."""
    clock = [1_000_000_000.0]
    history = RunHistory(lambda: clock[0])
    for seconds in range(1, 101):
        history.note(ended("SUCCEEDED", float(seconds)))
    clock[0] += 600
    history.note(ended("FAILED", 1.0))
    history.note(ended("STOPPED"))
    history.note(Change("job", "started", "b"))
    points = history.chart("hour")["points"]
    assert len(points) == 60
    assert [(each["succeeded"], each["failed"], each["stopped"]) for each in points if each["p50"]] == [
        (100, 0, 0),
        (0, 1, 1),
    ]
    assert points[-1]["failed"] == 1
    first = next(each for each in points if each["succeeded"])
    assert (first["p50"], first["p95"]) == (51.0, 96.0)
    day = history.chart("day")["points"]
    assert (len(day), sum(each["succeeded"] for each in day)) == (96, 100)
    clock[0] += 86_400
    history.note(ended("SUCCEEDED"))
    assert sum(each["succeeded"] for each in history.chart("day")["points"]) == 1


def test_a_busy_minute_costs_little() -> None:
    """All of its runs are counted, and the durations of some kept."""
    history = RunHistory(lambda: 1_000_000_000.0)
    for _ in range(10 * MOST_DURATIONS):
        history.note(ended("SUCCEEDED", 1.0))
    assert sum(each["succeeded"] for each in history.chart("hour")["points"]) == 10 * MOST_DURATIONS
