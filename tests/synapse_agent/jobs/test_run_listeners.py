"""Runs that call their caller's functions while they run, in both clients, on a real agent."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk.exceptions import ActionFailedError, ClientTimeoutError, NotFoundError, ValidationError

pytestmark = pytest.mark.usefixtures("tools")
RELEASE = "tools@1.0.0"
SOURCE = {
    "config": {"actions": {"go": "plain:go"}},
    "modules": {"plain": "def go(context):\n    print('spoken')\n    context.set_progress(1)\n    return 'done'\n"},
}

Run = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest, agent: EmbeddedAgent) -> Run:
    """Run an action with a client of either kind; the async one gets coroutine functions."""

    def wait_for(*arguments: Any, method: str = "run_plugin_release", **options: Any) -> Any:
        with agent.client() as client:
            return getattr(client, method)(*arguments, **options)

    def awaited(function: Callable[..., object]) -> Callable[..., object]:
        async def call(*arguments: object) -> None:
            await asyncio.sleep(0)
            function(*arguments)

        return call

    async def await_it(*arguments: Any, method: str = "run_plugin_release", **options: Any) -> Any:
        given = {name: awaited(value) if callable(value) else value for name, value in options.items()}
        async with agent.async_client() as client:
            return await getattr(client, method)(*arguments, **given)

    return wait_for if request.param == "sync" else lambda *a, **o: asyncio.run(await_it(*a, **o))


def test_lines_and_progress_come_in_order_and_then_the_result(run: Run) -> None:
    """Each comes once; for an action of method `job`, the call returns the result, not the job."""
    heard: list[Any] = []
    result = run(RELEASE, "narrate", {"lines": 3}, on_log=heard.append, on_progress=lambda *done: heard.append(done))
    assert result is None
    assert [each for each in heard if isinstance(each, str)] == ["line 0", "line 1", "line 2", "no end"]
    progress = [each for each in heard if isinstance(each, tuple)]
    assert progress[-1] == (3, 3)
    assert progress == sorted(progress)


def test_lines_come_while_the_action_runs(run: Run, tmp_path: Path) -> None:
    """The action waits for a file, which the caller writes when it gets the first line."""
    path = tmp_path / "go"
    assert run(RELEASE, "narrate", {"path": str(path), "lines": 1}, on_log=lambda _: path.touch()) is None


def test_one_function_is_enough_and_debug_runs_have_them_too(run: Run) -> None:
    """Without a total, `on_progress` gets None."""
    heard: list[Any] = []
    method = "run_debug_plugin_release"
    assert run("go", method=method, on_log=heard.append, **SOURCE) == "done"
    assert run("go", method=method, on_progress=lambda *done: heard.append(done), **SOURCE) == "done"
    assert heard == ["spoken", (1, None)]


def test_a_payload_as_it_is_and_a_job_id_work_as_ever(run: Run, http: Any) -> None:
    """The job has the caller's ID."""
    name = f"listened-{time.time_ns()}"
    heard: list[str] = []
    data = {"action": "echo", "params": {"value": {"a": [1]}}, "job_id": name}
    assert run(RELEASE, data=data, on_log=heard.append) == {"a": [1]}
    assert (http.get(f"/jobs/{name}/").json()["status"], heard) == ("SUCCEEDED", [])


def test_errors_are_those_of_any_run(run: Run) -> None:
    """The error follows the lines that were printed before it."""
    heard: list[str] = []
    with pytest.raises(ActionFailedError, match="too late") as caught:
        run(RELEASE, "fail", {"message": "too late"}, on_log=heard.append)
    assert (caught.value.exception_type, caught.value.outcome) == ("ValueError", "executed")
    with pytest.raises(ValidationError, match="unexpected"):
        run(RELEASE, "echo", {"color": "red"}, on_log=heard.append)
    with pytest.raises(NotFoundError):
        run("none@1", "echo", on_log=heard.append)


def test_what_a_function_raises_comes_out_and_the_job_continues(run: Run, http: Any, tmp_path: Path) -> None:
    """The call raises the caller's exception unchanged."""
    name, path = f"raising-{time.time_ns()}", tmp_path / "go"

    def stop(line: str) -> None:
        raise KeyError(line)

    with pytest.raises(KeyError, match="line 0"):
        run(RELEASE, "narrate", {"path": str(path), "lines": 1}, job_id=name, on_log=stop)
    assert http.get(f"/jobs/{name}/").json()["status"] == "RUNNING"
    path.touch()


def test_a_deadline_is_for_the_whole_call(run: Run, tmp_path: Path) -> None:
    """The deadline ends the call, however much the action prints."""
    began = time.monotonic()
    with pytest.raises(ClientTimeoutError):
        run(RELEASE, "narrate", {"path": str(tmp_path / "go")}, on_log=json.dumps, deadline=1)
    assert time.monotonic() - began < 20
    (tmp_path / "go").touch()
