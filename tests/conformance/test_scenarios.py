"""The main job through both clients: the same scenarios on every runner."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk import exceptions

EXAMPLES = Path(__file__).parents[2] / "examples"

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def example_agent(runner_settings: dict[str, Any]) -> Iterator[EmbeddedAgent]:
    """Run an agent with the example plugins."""
    with EmbeddedAgent(plugins=EXAMPLES / "plugins", **runner_settings) as agent:
        yield agent


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, example_agent: EmbeddedAgent) -> Iterator[Call]:
    """Call a method of either client by its name; nothing is cached when a test begins."""
    with asyncio.Runner() as loop, example_agent.client() as cleaner:
        for release in cleaner.iter_plugin_releases():
            cleaner.delete_plugin_release(release["id"])
        client = example_agent.client() if request.param == "sync" else example_agent.async_client()

        def call(method: str, *args: Any, **kwargs: Any) -> Any:
            value = getattr(client, method)(*args, **kwargs)
            return loop.run(value) if inspect.iscoroutine(value) else value

        yield call
        call("close" if request.param == "sync" else "aclose")


def test_releases_are_cached_listed_found_and_deleted(call: Call) -> None:
    """A release lives from create to delete, and both kinds of lookup find it."""
    created = call("create_plugin_release", "my_plugin", "1.0.0")
    assert call("create_plugin_release", plugin="my_plugin", version="1.0.0") == created
    assert (created["plugin"], created["version"]) == ("my_plugin", "1.0.0")
    for lookup in (created["id"], str(created["id"]), "my_plugin@1.0.0"):
        assert call("get_plugin_release", lookup) == created
    assert call("list_plugin_releases", list_all=True) == ([created], 1)
    assert call("list_plugin_releases", {"plugin": "my_plugin"})["results"] == [created]
    assert call("list_plugin_releases", {"plugin": "other"})["count"] == 0
    assert call("delete_plugin_release", "my_plugin@1.0.0") is None
    with pytest.raises(exceptions.NotFoundError, match=r"my_plugin@1\.0\.0"):
        call("get_plugin_release", "my_plugin@1.0.0")
    with pytest.raises(exceptions.NotFoundError):
        call("delete_plugin_release", created["id"])


def test_pages_of_the_agent_s_own_list_are_walked(call: Call) -> None:
    """list_all follows the agent's own links through pages of one."""
    for plugin, version in (("my_plugin", "1.0.0"), ("ml_model", "1.2.0"), ("ocr_plugin", "2.0.0")):
        call("create_plugin_release", plugin, version)
    page = call("list_plugin_releases", {"page_size": 2})
    assert (len(page["results"]), page["count"], page["previous"]) == (2, 3, None)
    assert "page=2" in page["next"]
    releases, total = call("list_plugin_releases", {"page_size": 1}, list_all=True)
    assert [release["plugin"] for release in releases] == ["my_plugin", "ml_model", "ocr_plugin"]
    assert total == 3


def test_a_release_is_prepared_before_its_first_run(call: Call) -> None:
    """Its environment and process are ready when the answer is `ready`; no job results from it."""
    call("create_plugin_release", "my_plugin", "1.0.0")
    warm = call("warm_plugin_release", "my_plugin@1.0.0")
    while warm["status"] == "starting":
        warm = call("warm_plugin_release", "my_plugin@1.0.0")
    assert (warm["release"], warm["action"], warm["status"]) == ("my_plugin@1.0.0", None, "ready")
    assert call("warm_plugin_release", "my_plugin@1.0.0", "train")["action"] == "train"
    assert not [job for job in call("list_jobs") if job["job_id"].startswith("warm")]
    with pytest.raises(exceptions.ValidationError, match="no action 'trian'"):
        call("warm_plugin_release", "my_plugin@1.0.0", "trian")
    with pytest.raises(exceptions.NotFoundError):
        call("warm_plugin_release", "other@1.0.0")


def test_an_action_runs_and_returns_its_result(call: Call) -> None:
    """A model is really trained; the recommended and the legacy call return the same."""
    call("create_plugin_release", "my_plugin", "1.0.0")
    result = call("run_plugin_release", "my_plugin@1.0.0", "train", params={"epochs": 5})
    assert len(result["losses"]) == 5
    assert result["losses"] == sorted(result["losses"], reverse=True)
    legacy = call("run_plugin_release", "my_plugin@1.0.0", data={"action": "train", "params": {"epochs": 5}})
    assert legacy == result


def test_a_run_gets_its_requirements(call: Call) -> None:
    """The plugin's requirement and the call's are installed for the run."""
    call("create_plugin_release", "ocr_plugin", "2.0.0")
    document = str(EXAMPLES / "data" / "document.pdf")
    arguments = {"params": {"file_path": document}, "requirements": ["pillow>=9.0.0"]}
    result = call("run_plugin_release", "ocr_plugin@2.0.0", "process_document", **arguments)
    assert len(result["pages"]) == 2
    assert result["images"] == [[32, 2], [32, 2]]


@pytest.mark.parametrize("value", [None, 0, "", False, [], {}, 1.5, "😀", {"a": [None, {"b": []}]}])
def test_any_result_arrives_as_it_is(call: Call, value: Any) -> None:
    """An action receives and returns every JSON value unchanged."""
    source = "def echo(value):\n    return value\n"
    config = {"actions": {"echo": {"entrypoint": "echoing:echo"}}}
    result = call(
        "run_debug_plugin_release", "echo", params={"value": value}, config=config, modules={"echoing": source}
    )
    assert result == value
    assert type(result) is type(value)


def test_a_debug_run_lays_modules_over_the_source(call: Call) -> None:
    """The folder's code runs with one module replaced, and no release is created."""
    source = "class Processor:\n    def process(self, text):\n        return text[::-1]\n"
    result = call(
        "run_debug_plugin_release",
        action="process",
        params={"input": "test"},
        plugin_path=str(EXAMPLES / "plugins" / "my_plugin"),
        config={"debug": True},
        modules={"my_plugin.processor": source},
    )
    assert result == "tset"
    assert call("list_plugin_releases")["count"] == 0


def test_a_failing_action_reports_how_it_failed(call: Call) -> None:
    """The error has the plugin's exception, message, traceback and job, and the outcome `executed`."""
    source = "def fail():\n    raise ValueError('no luck')\n"
    config = {"actions": {"fail": {"entrypoint": "failing:fail"}}}
    with pytest.raises(exceptions.ActionFailedError, match="ValueError: no luck") as caught:
        call("run_debug_plugin_release", "fail", config=config, modules={"failing": source}, job_id="job-that-fails")
    error = caught.value
    assert (error.exception_type, error.exception_message) == ("ValueError", "no luck")
    assert error.outcome == "executed"
    assert "raise ValueError('no luck')" in (error.traceback or "")


def test_a_job_s_record_and_log_stay(call: Call) -> None:
    """Every run is a job: its record and its log stay."""
    call("create_plugin_release", "my_plugin", "1.0.0")
    result = call("run_plugin_release", "my_plugin@1.0.0", "train", params={"epochs": 2}, job_id="kept")
    record = call("get_job", "kept")
    assert (record["release"], record["action"], record["status"]) == ("my_plugin@1.0.0", "train", "SUCCEEDED")
    assert record["result"] == result
    assert record["progress"]["current"] == 2
    assert "epoch" in call("get_job_logs", "kept").lower()
    assert "kept" in [job["job_id"] for job in call("list_jobs", status="SUCCEEDED")]


def test_a_run_in_the_background_is_a_job_at_once(call: Call) -> None:
    """This holds for any action, from a release or source; `wait_for_job` returns its result or raises its error."""
    call("create_plugin_release", "my_plugin", "1.0.0")
    job = call("run_plugin_release", "my_plugin@1.0.0", "train", params={"epochs": 3}, background=True)
    assert (job["method"], job["status"], job["result"]) == ("task", "PENDING", None)
    assert len(call("wait_for_job", job["job_id"])["losses"]) == 3
    config = {"actions": {"fail": {"entrypoint": "failing:fail"}}}
    source = {"failing": "def fail():\n    raise ValueError('no luck')\n"}
    failing = call("run_debug_plugin_release", "fail", config=config, modules=source, background=True)
    with pytest.raises(exceptions.ActionFailedError, match="no luck"):
        call("wait_for_job", failing["job_id"])


def test_a_caller_is_notified_during_a_run(call: Call, example_agent: EmbeddedAgent) -> None:
    """Its listeners receive each line and each step before the result."""
    source = """
        import time

        def act(context):
            print("begun")
            context.set_progress(1, 2)
            time.sleep(1)
            print("ended")
            return "done"
    """
    plugin = {"config": {"actions": {"act": "acting:act"}}, "modules": {"acting": dedent(source)}}
    heard: list[Any] = []
    job_id = f"heard-{uuid4()}"
    with example_agent.client() as other:
        result = call(
            "run_debug_plugin_release",
            "act",
            job_id=job_id,
            on_log=lambda line: heard.append((line, other.get_job(job_id)["status"])),
            on_progress=lambda *done: heard.append(done),
            **plugin,
        )
    assert result == "done"
    assert heard[0] == ("begun", "RUNNING")
    assert (1, 2) in heard
    assert [each[0] for each in heard if isinstance(each[0], str)] == ["begun", "ended"]


def test_a_release_whose_source_changed_is_refreshed(runner_settings: dict[str, Any], tmp_path: Path) -> None:
    """The old code runs, and `create` reports that, until the new one is taken."""
    folder = tmp_path / "plugins" / "edited"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("code: edited\nversion: 1.0.0\nactions: {go: 'main:go'}\n")
    (folder / "main.py").write_text("def go(): return 'old'\n")
    with EmbeddedAgent(tmp_path / "plugins", **runner_settings) as agent, agent.client() as client:
        created = client.create_plugin_release("edited")
        assert client.run_plugin_release("edited@1.0.0", "go") == "old"
        (folder / "main.py").write_text("def go(): return 'new'\n")
        again = client.create_plugin_release("edited")
        assert (again["source_changed"], again["digest"]) == (True, created["digest"])
        assert client.run_plugin_release("edited@1.0.0", "go") == "old"
        refreshed = client.create_plugin_release("edited", refresh=True)
        assert (refreshed["id"], "source_changed" in refreshed) == (created["id"], False)
        assert client.run_plugin_release("edited@1.0.0", "go") == "new"


def test_a_job_is_forgotten_once_it_is_over(call: Call) -> None:
    """Deleting a running job is a conflict; after a deletion, record and log are gone."""
    config = {"actions": {"sleep": {"entrypoint": "sleeping:sleep"}}}
    source = {"sleeping": "import time\ndef sleep():\n    time.sleep(100)\n"}
    job = call("run_debug_plugin_release", "sleep", config=config, modules=source, background=True)
    with pytest.raises(exceptions.ConflictError, match="Stop it or wait for its end") as caught:
        call("delete_job", job["job_id"])
    assert caught.value.error_type == "job_not_over"
    assert call("stop_job", job["job_id"])["status"] == "STOPPED"
    assert call("delete_job", job["job_id"]) is None
    for method in ("get_job", "get_job_logs", "delete_job"):
        with pytest.raises(exceptions.NotFoundError, match=job["job_id"]):
            call(method, job["job_id"])


def test_wrong_tokens_and_actions_are_refused(call: Call, example_agent: EmbeddedAgent) -> None:
    """A wrong token is 401; the error for an unknown action lists the available ones."""
    call("create_plugin_release", "my_plugin", "1.0.0")
    with (
        example_agent.client(access_token="s3cret") as stranger,
        pytest.raises(exceptions.AuthenticationError) as caught,
    ):
        stranger.list_plugin_releases()
    assert "s3cret" not in str(caught.value)
    with pytest.raises(exceptions.ValidationError, match=r"process.*train") as refused:
        call("run_plugin_release", "my_plugin@1.0.0", "trian")
    assert refused.value.error_type == "unknown_action"
    assert call("health_check")["status"] == "ok"


def test_a_result_that_json_does_not_have_leaves_its_repr(call: Call) -> None:
    """The `repr` is a file of the job, and the error names it."""
    modules = {"acting": "def act():\n    return {'model': 3j}\n"}
    config = {"actions": {"act": {"entrypoint": "acting:act"}}}
    job_id = f"unsaid-{uuid4()}"
    with pytest.raises(exceptions.ServerError, match=r"Its repr is in the job's file 'result\.repr\.txt'") as caught:
        call("run_debug_plugin_release", "act", config=config, modules=modules, job_id=job_id)
    assert isinstance(caught.value.detail, dict)
    assert caught.value.detail["detail"]["file"] == "result.repr.txt"
    assert [file["name"] for file in call("list_job_files", job_id)] == ["result.repr.txt"]


def test_nan_is_null_and_the_record_has_its_place(call: Call) -> None:
    """This holds for results, events and progress."""
    source = """
        def act(context):
            context.set_progress(float("nan"), 3)
            context.log("metrics", {"loss": float("inf")})
            return [1.5, float("nan")]
    """
    modules = {"acting": dedent(source)}
    config = {"actions": {"act": {"entrypoint": "acting:act"}}}
    job_id = f"nan-{uuid4()}"
    assert call("run_debug_plugin_release", "act", config=config, modules=modules, job_id=job_id) == [1.5, None]
    job = call("get_job", job_id)
    assert job["nonfinite"] == {"count": 1, "places": [{"path": "$[1]", "value": "NaN"}]}
    assert job["events"][0]["data"] == {"loss": None}
    assert job["events"][0]["nonfinite"]["places"] == [{"path": "$.data.loss", "value": "Infinity"}]
    assert (job["progress"]["current"], job["progress"]["total"]) == (None, 3)


def test_what_a_plugin_stores_stays_and_the_operator_s_variables_are_there(runner_settings: dict[str, Any]) -> None:
    """The next run finds them, on the only node of the cluster."""
    source = """
        import os

        def train(context):
            (context.storage / "model").write_text("trained")
            return os.environ["TOKEN"]

        def predict(context):
            return [(context.storage / "model").read_text(), os.environ["MODEL"] == f"{context.storage}/model"]
    """
    config = {
        "code": f"storing-{uuid4().hex}",
        "env": {"MODEL": "${SYNAPSE_STORAGE_DIR}/model"},
        "actions": {"train": "storing:train", "predict": "storing:predict"},
    }
    plugin: dict[str, Any] = {"config": config, "modules": {"storing": dedent(source)}}
    with EmbeddedAgent([], action_env=("TOKEN=secret",), **runner_settings) as agent, agent.client() as client:
        assert client.run_debug_plugin_release("train", **plugin) == "secret"
        assert client.run_debug_plugin_release("predict", **plugin) == ["trained", True]


def test_a_served_action_is_held_from_call_to_call(call: Call) -> None:
    """Each call is a job; the workers are listed with their calls, ended by name, and restarted by the next call."""
    call("create_plugin_release", "ml_model", "1.2.0")
    lookup, params = "ml_model@1.2.0", {"data": [1, 2, 3, 4]}
    job_id = uuid.uuid4().hex
    first = call("run_plugin_release", lookup, "predict", params)
    assert call("run_plugin_release", lookup, "predict", params, job_id=job_id) == first
    record = call("get_job", job_id)
    assert (record["method"], record["status"], record["result"]) == ("serve", "SUCCEEDED", first)
    with pytest.raises(exceptions.ActionFailedError, match="at least 3 numbers"):
        call("run_plugin_release", lookup, "predict", {"data": [1]})
    (served,) = [each for each in call("list_serve_applications") if each["name"] == "ml_model@1.2.0:predict"]
    assert (served["release"], served["action"]) == (lookup, "predict")
    assert (served["status"], served["calls"], served["workers"][0]["status"]) == ("RUNNING", 3, "IDLE")
    assert call("get_serve_application", served["name"])["since"] == served["since"]
    assert call("delete_serve_application", served["name"]) is None
    assert served["name"] not in [each["name"] for each in call("list_serve_applications")]
    for method in ("get_serve_application", "delete_serve_application"):
        with pytest.raises(exceptions.NotFoundError, match="ml_model"):
            call(method, served["name"])
    assert call("run_plugin_release", lookup, "predict", params) == first
    assert call("get_serve_application", served["name"])["calls"] == 1


def test_a_served_action_is_ready_before_its_first_call(call: Call) -> None:
    """Warming starts its workers; deleting the release ends them."""
    call("create_plugin_release", "ml_model", "1.2.0")
    assert call("warm_plugin_release", "ml_model@1.2.0", "predict")["status"] == "ready"
    served = call("get_serve_application", "ml_model@1.2.0:predict")
    assert (served["status"], served["calls"]) == ("RUNNING", 0)
    call("delete_plugin_release", "ml_model@1.2.0")
    assert served["name"] not in [each["name"] for each in call("list_serve_applications")]
