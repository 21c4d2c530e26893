"""Failures of the SDK, and of actions that misuse it, with a stand-in for the SDK."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.anyio

STAND_IN = Path(__file__).parent / "stand_in" / "synapse_sdk"

MODEL = """
    class Refused(ValueError):
        def errors(self):
            return self.args[0]


    class Model:
        model_config = {}

        @classmethod
        def model_validate(cls, params, context):
            assert context == {"client": None}
            faults = [cls.fault(params, name) for name in ("epochs", "rate") if cls.fault(params, name)]
            if faults:
                raise Refused(faults)
            params["seen"] = params.get("seen", 0) + 1
            return params

        @staticmethod
        def fault(params, name):
            if name not in params:
                return {"loc": (name,), "msg": "Field required", "type": "missing", "input": params}
            if not isinstance(params[name], int):
                return {"loc": (name, 0), "msg": "Not a number", "type": "number", "input": params[name]}
    """

ACTION = """
    from synapse_sdk.plugins.action import BaseAction
    {model}

    class Act(BaseAction):
        params_model = Model

        def execute(self):
            {body}
    """


@pytest.fixture
def write_action(write_plugin):
    """Return a function that writes a plugin with an SDK action of this body, and the stand-in."""

    def write(body, *, model=MODEL, **more):
        source = ACTION.format(model=model, body=body.replace("\n", "\n            "))
        plugin = write_plugin(source, entrypoint="plugin.main:Act", **more)
        shutil.copytree(STAND_IN, plugin.folder / "synapse_sdk")
        return plugin

    return write


def change(plugin, name, old, new):
    """Change a line of a plugin's stand-in."""
    file = plugin.folder / "synapse_sdk" / name
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


GOOD = {"epochs": 3, "rate": 1}


async def test_the_stand_in_is_enough_of_an_sdk(runner, write_action):
    """An action runs; `dispatch` gets the caller's params, not the converted ones of an earlier check."""
    plugin = write_action("self.ctx.logger.set_progress(1, 3)\nreturn self.params")
    assert await plugin.run(runner, GOOD) == {**GOOD, "seen": 1}
    assert plugin.heard.events == [{"type": "progress", "current": 1, "total": 3}]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("loggers.py", "class BaseLogger", "class Logger", "has no attribute 'BaseLogger'"),
        ("loggers.py", "class BaseLogger", "import not_there\n\nclass BaseLogger", "No module named 'not_there'"),
        ("plugins/context/__init__.py", "    env: Any", "    tenant: Any\n    env: Any", "'tenant'"),
        ("plugins/context/__init__.py", "@dataclass\n", "", "dataclass"),
        ("plugins/context/env.py", "def from_environ", "def from_os", "has no attribute 'from_environ'"),
    ],
)
async def test_an_sdk_that_is_built_otherwise_is_refused(runner, write_action, file, old, new, said):
    """The answer is 422 with what is missing, and nothing runs: a later release may be like that."""
    plugin = write_action("print('ran')")
    change(plugin, file, old, new)
    problem = await plugin.problem(runner, GOOD)
    assert (problem.status, problem.error_type) == (422, "invalid_plugin")
    assert said in problem.message
    assert "Require another release of synapse-sdk." in problem.message
    assert b"ran" not in plugin.heard.log


async def test_all_params_that_do_not_fit_are_named(runner, write_action):
    """Each has its path and its value."""
    problem = await write_action("print('ran')").problem(runner, {"rate": ["high"]})
    assert (problem.status, problem.error_type) == (422, "invalid_params")
    assert problem.message == (
        "The params do not fit the action: 'epochs' is missing; 'rate.0' is ['high']: Not a number."
    )
    assert problem.extra["errors"] == [
        {"loc": ["params", "epochs"], "msg": "Field required", "type": "missing", "input": {"rate": ["high"]}},
        {"loc": ["params", "rate", 0], "msg": "Not a number", "type": "number", "input": ["high"]},
    ]


async def test_of_many_params_that_do_not_fit_the_first_are_named(runner, write_action):
    """This keeps the answer readable."""
    many = MODEL.replace("raise Refused(faults)", "raise Refused(faults * 25)")
    problem = await write_action("pass", model=many).problem(runner, {"rate": 1})
    assert problem.message.endswith("; 'epochs' is missing; and 5 more.")
    assert len(problem.extra["errors"]) == 20


async def test_a_model_that_hides_its_input_hides_it(runner, write_action):
    """The input may be a password."""
    hiding = MODEL.replace("model_config = {}", 'model_config = {"hide_input_in_errors": True}')
    problem = await write_action("pass", model=hiding).problem(runner, {"epochs": 1, "rate": ["s3cret"]})
    assert problem.message == "The params do not fit the action: 'rate.0': Not a number."
    assert "s3cret" not in str(problem.extra)


async def test_a_validator_that_breaks_is_the_plugins_failure(runner, write_action):
    """The params may be valid."""
    broken = MODEL.replace("faults = [", 'int("x")\n            faults = [')
    problem = await write_action("pass", model=broken).problem(runner, GOOD)
    assert (problem.status, problem.extra["exception_type"]) == (500, "ValueError")


async def test_what_an_action_raises_itself_is_its_failure(runner, write_action):
    """This includes exceptions that look like invalid params."""
    problem = await write_action("raise Refused([])").problem(runner, GOOD)
    assert (problem.error_type, problem.extra["exception_type"]) == ("action_failed", "plugin.main.Refused")


async def test_progress_that_the_sdk_refuses_is_reported_all_the_same(runner, write_action):
    """Invalid progress does not end an action."""
    plugin = write_action("self.ctx.logger.set_progress(4, 3)\nreturn 5")
    assert await plugin.run(runner, GOOD) == 5
    assert plugin.heard.events == [{"type": "progress", "current": 4, "total": 3}]


async def test_what_no_event_can_hold_is_shortened(runner, write_action):
    """The SDK's own loggers accept anything, so no action may fail because of it."""
    plugin = write_action(
        'self.ctx.logger.log_event("odd", {"found": 1j})\nself.ctx.logger.log_trials({"x": "y" * 60_000})'
    )
    await plugin.run(runner, GOOD)
    odd, long = plugin.heard.events
    assert odd["data"]["found"] == "1j"
    assert long["left_out"] == "This is the beginning of 60049 bytes; the limit for an event is 60000."
    assert len(long["data"]) == 1001


async def test_a_result_that_is_not_what_is_declared_goes_back_all_the_same(runner, write_action):
    """The SDK logs a warning, as under its own executors."""
    plugin = write_action("return 3", model=MODEL + "\n    class Result:\n        pass\n")
    source = plugin.folder / "plugin" / "main.py"
    source.write_text(
        source.read_text().replace("params_model = Model", "params_model = Model\n    result_model = Result")
    )
    assert await plugin.run(runner, GOOD) == 3
    assert [event["data"] for event in plugin.heard.events] == [
        {"level": "warning", "content": "the result is no Result"}
    ]


async def test_credentials_in_the_plugins_env_make_a_client(runner, write_action):
    """Without these variables the action has no client."""
    any_client = MODEL.replace('assert context == {"client": None}', "params['checked_with'] = context['client']")
    plugin = write_action(
        "return [self.params['checked_with'], self.ctx.client]", model=any_client, env={"BACKEND": "b"}
    )
    assert await plugin.run(runner, GOOD) == ["b", "b"]
