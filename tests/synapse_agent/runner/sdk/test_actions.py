"""Actions written with the public SDK, which is installed."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio

TRAIN = """
    import logging

    from pydantic import BaseModel, Field
    from synapse_sdk.plugins.action import BaseAction

    class TrainParams(BaseModel):
        epochs: int = Field(gt=0)
        rate: float = 0.5

    class TrainResult(BaseModel):
        losses: list[float]

    class Train(BaseAction[TrainParams]):
        result_model = TrainResult

        def execute(self):
            print("ran")
            self.ctx.log_message("Training starts.")
            losses = []
            for epoch in range(1, self.params.epochs + 1):
                losses.append(self.params.rate ** epoch)
                self.set_progress(epoch, self.params.epochs, "train")
                self.log("epoch", {"number": epoch}, file="weights.pt")
            MORE
            return TrainResult(losses=losses)
    """


@pytest.fixture
def train(write_plugin):
    """Return a function that writes a plugin whose action trains, and then runs additional code."""

    def write(more="pass", **config):
        source = TRAIN.replace("MORE", more.replace("\n", "\n            "))
        return write_plugin(source, requirements="synapse-sdk\n", entrypoint="plugin.main.Train", **config)

    return write


async def test_an_action_runs_through_dispatch(sdk_runner, train):
    """Models check its params and its result; progress and messages arrive as this agent's events."""
    plugin = train()
    assert await plugin.run(sdk_runner, {"epochs": 2}) == {"losses": [0.5, 0.25]}
    assert plugin.heard.events == [
        {"type": "event", "event": "message", "data": {"level": "info", "content": "Training starts."}},
        {"type": "progress", "current": 1, "total": 2, "step": "train"},
        {"type": "event", "event": "epoch", "data": {"level": "info", "file": "weights.pt", "number": 1}},
        {"type": "progress", "current": 2, "total": 2, "step": "train"},
        {"type": "event", "event": "epoch", "data": {"level": "info", "file": "weights.pt", "number": 2}},
    ]


EVERY_REPORT = """\
ctx, logger = self.ctx, self.logger
logger.set_step("fit")
ctx.set_progress(1, 2)
logger.set_progress_failed("fit")
ctx.set_metrics({"loss": 1}, "fit")
ctx.set_metrics({"error": 2}, "fit")
ctx.log_metric("train", "loss", 0.5, accuracy=0.9)
ctx.log_visualization("train", "g", 3, "boxes.png", w=7)
ctx.log_trials(trials={"first": {"loss": 1}}, best_trial="first")
ctx.log_dev_event("noted", {"n": 1})
ctx.log_message({"en": "{n} done", "ko": "{n}개 완료"}, n=2)
logger.warning("careful")
logger.log_message("by the logger")
logger.log_event("seen", {"n": 3})
logging.getLogger("numbers").info("by Python's logging")
losses = [len(ctx.env.get("GREETING")), ctx.client is None, bool(ctx.job_id)]"""


async def test_every_way_to_report_arrives(sdk_runner, train):
    """The context and its logger both work, with step and level; Python's own logging is in the log."""
    plugin = train(EVERY_REPORT, env={"GREETING": "hi"})
    assert await plugin.run(sdk_runner, {"epochs": 1}, language="ko") == {"losses": [2, 1, 1]}
    told = plugin.heard.events[3:]
    assert told[0] == {"type": "progress", "current": 1, "total": 2, "step": "fit"}
    assert [(event["event"], event["data"]) for event in told[1:]] == [
        ("progress_failed", {"step": "fit"}),
        ("metrics", {"step": "fit", "metrics": {"loss": 1}}),
        ("metrics", {"step": "fit", "metrics": {"loss": 1, "error": 2}}),
        ("metric", {"step": "fit", "category": "train", "key": "loss", "value": 0.5, "metrics": {"accuracy": 0.9}}),
        ("visualization", {"step": "fit", "file": "boxes.png", "category": "train", "group": "g", "index": 3, "w": 7}),
        ("trials", {"step": "fit", "trials": {"first": {"loss": 1}}, "best_trial": "first"}),
        ("dev_event", {"level": "debug", "step": "fit", "message": "noted", "data": {"n": 1}}),
        ("message", {"level": "info", "step": "fit", "content": "2개 완료"}),
        ("message", {"level": "warning", "step": "fit", "content": "careful"}),
        ("message", {"level": "info", "step": "fit", "content": "by the logger"}),
        ("seen", {"step": "fit", "n": 3}),
    ]
    assert b"INFO numbers by Python's logging\n" in plugin.heard.log


async def test_params_that_the_model_refuses_are_named_and_nothing_runs(sdk_runner, train):
    """The answer is 422 with all of them, and pydantic's messages."""
    plugin = train()
    problem = await plugin.problem(sdk_runner, {"epochs": 0, "rate": "high"})
    assert (problem.status, problem.error_type) == (422, "invalid_params")
    assert problem.message == (
        "The params do not fit the action: 'epochs' is 0: Input should be greater than 0; "
        "'rate' is 'high': Input should be a valid number, unable to parse string as a number."
    )
    assert [(error["loc"], error["type"]) for error in problem.extra["errors"]] == [
        (["params", "epochs"], "greater_than"),
        (["params", "rate"], "float_parsing"),
    ]
    assert plugin.heard.events == []
    assert b"ran" not in plugin.heard.log


async def test_an_action_that_raises_fails_as_any_other(sdk_runner, train):
    """The answer is 500 with the action's exception, not the SDK's wrapper. Errors of its own models count, too."""
    problem = await train('TrainParams(epochs="many")').problem(sdk_runner, {"epochs": 1})
    assert (problem.status, problem.error_type) == (500, "action_failed")
    assert problem.extra["exception_type"] == "pydantic_core._pydantic_core.ValidationError"
    assert 'File "plugin/main.py"' in problem.extra["traceback"].splitlines()[1]


async def test_a_result_that_does_not_fit_its_model_is_warned_of(sdk_runner, train):
    """It is returned unchanged, as under the SDK's own executors."""
    plugin = train('return {"losses": "none"}')
    assert await plugin.run(sdk_runner, {"epochs": 1}) == {"losses": "none"}
    warning = plugin.heard.events[-1]["data"]
    assert warning["level"] == "warning"
    assert "losses" in warning["content"]


FUNCTIONS = """
    from pydantic import BaseModel
    from synapse_sdk.plugins.decorators import action

    class Params(BaseModel):
        epochs: int

    @action(params=Params)
    def with_model(params, context):
        context.set_progress(1, params.epochs)
        return params

    @action(name="other")
    async def without_model(params, context):
        context.log_message("hello")
        return [params, context.job_id is not None]
    """


@pytest.mark.parametrize(
    ("function", "params", "result", "told"),
    [
        ("with_model", {"epochs": "3"}, {"epochs": 3}, {"type": "progress", "current": 1, "total": 3}),
        (
            "without_model",
            {"epochs": "3"},
            [{"epochs": "3"}, True],
            {"type": "event", "event": "message", "data": {"level": "info", "content": "hello"}},
        ),
    ],
)
async def test_a_function_marked_as_an_action_gets_params_and_context(
    sdk_runner, write_plugin, function, params, result, told
):
    """Its model checks the params, if it has one; it may be async."""
    plugin = write_plugin(FUNCTIONS, requirements="synapse-sdk\n", entrypoint=f"plugin.main:{function}")
    assert await plugin.run(sdk_runner, params) == result
    assert plugin.heard.events == [told]


OLDER = """
    from pydantic import BaseModel
    from synapse_sdk.plugins.action import BaseAction

    class Params(BaseModel):
        epochs: int

    class Train(BaseAction[Params]):
        def execute(self):
            self.set_progress(1, self.params.epochs, "train")
            self.log("epoch", {"number": 1})
            self.ctx.log_message("hello")
            self.set_metrics({"loss": 1}, "train")
            return {"has_dispatch": hasattr(type(self), "dispatch"), "epochs": self.params.epochs}
    """


@pytest.mark.parametrize(("release", "has_dispatch"), [("2026.1.50", True), ("2026.1.1b1", False)])
async def test_older_releases_of_the_sdk_work_too(any_sdk_runner, write_plugin, release, has_dispatch):
    """These are the first stable one, and the very first, whose actions have no `dispatch`."""
    plugin = write_plugin(OLDER, requirements=f"synapse-sdk=={release}\n", entrypoint="plugin.main:Train")
    assert await plugin.run(any_sdk_runner, {"epochs": 3}) == {"has_dispatch": has_dispatch, "epochs": 3}
    assert plugin.heard.events[0] == {"type": "progress", "current": 1, "total": 3, "step": "train"}
    events = {event["event"]: event["data"] for event in plugin.heard.events[1:]}
    assert events["epoch"]["number"] == 1
    assert events["message"]["content"] == "hello"
    assert events["metrics"] == {"step": "train", "metrics": {"loss": 1}}
    problem = await plugin.problem(any_sdk_runner, {"epochs": "x"})
    assert (problem.status, problem.extra["errors"][0]["loc"]) == (422, ["params", "epochs"])
