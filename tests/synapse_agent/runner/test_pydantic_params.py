"""Params that pydantic checks, if the plugin's modules have imported it from their environment."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio

MODEL = """
    from typing import Annotated, Optional
    from pydantic import BaseModel, EmailStr, Field, HttpUrl, validate_call

    class Layer(BaseModel):
        size: int = Field(gt=0)

    class Config(BaseModel):
        layers: list[Layer]
        rate: float = 0.1

    def act(config: Config, more: Optional[list[Layer]] = None):
        return [type(config).__name__, config, more and more[0].size]

    def whole(params: Config, context):
        return [params.rate, context.action]

    def field(epochs: int = Field(3, ge=1, le=10), name: Annotated[str, Field(min_length=2)] = "ab"):
        return [epochs, name]

    def needed(epochs: int = Field(ge=1)):
        return epochs

    def url(address: HttpUrl):
        return [type(address).__name__, str(address)]

    @validate_call
    def checked(epochs: int, rate: float = 0.5):
        return epochs * rate

    class Job(BaseModel):
        epochs: int

        def run(self):
            return self.epochs

    def raises(size):
        return Layer(size=size)
    """


@pytest.fixture
def act(runner, write_plugin):
    """Run a function of the module, in an environment with pydantic."""

    def prepared(name):
        return write_plugin(
            MODEL.replace("EmailStr, ", ""), requirements="pydantic>=2", entrypoint=f"plugin.main:{name}"
        )

    async def act(name, params):
        return await prepared(name).run(runner, params)

    async def wrong(name, params):
        return await prepared(name).problem(runner, params)

    act.wrong = wrong
    return act


@pytest.mark.parametrize(
    ("name", "params", "result"),
    [
        ("act", {"config": {"layers": [{"size": "2"}]}}, ["Config", {"layers": [{"size": 2}], "rate": 0.1}, None]),
        ("act", {"config": {"layers": []}, "more": [{"size": 1}]}, ["Config", {"layers": [], "rate": 0.1}, 1]),
        ("whole", {"layers": [], "rate": "0.5"}, [0.5, "act"]),
        ("field", {}, [3, "ab"]),
        ("field", {"epochs": "4", "name": "abc"}, [4, "abc"]),
        ("needed", {"epochs": 1}, 1),
        ("url", {"address": "https://a.test/x"}, ["HttpUrl", "https://a.test/x"]),
        ("checked", {"epochs": "4"}, 2.0),
        ("Job", {"epochs": "4"}, 4),
    ],
)
async def test_models_and_fields_are_made_of_params(act, name, params, result):
    """Models may be nested, cover all params, be defaults, or be in `Annotated`; `validate_call` works, too."""
    assert await act(name, params) == result


@pytest.mark.parametrize(
    ("name", "params", "wrong"),
    [
        (
            "act",
            {"config": {"layers": [{"size": 0}]}},
            [(["params", "config", "layers", 0, "size"], "greater_than", 0)],
        ),
        ("whole", {"rate": 1}, [(["params", "layers"], "missing", {"rate": 1})]),
        ("field", {"epochs": 11}, [(["params", "epochs"], "less_than_equal", 11)]),
        ("field", {"name": "a"}, [(["params", "name"], "too_short", "a")]),
        ("needed", {}, [(["params", "epochs"], "missing", {})]),
        ("url", {"address": "no"}, [(["params", "address"], "url_parsing", "no")]),
        ("checked", {"epochs": "x"}, [(["params", "epochs"], "int_parsing", "x")]),
        ("Job", {"epochs": "x"}, [(["params", "epochs"], "int_parsing", "x")]),
    ],
)
async def test_what_pydantic_refuses_is_invalid_params(act, name, params, wrong):
    """The answer is 422, in the same form as for every other fault."""
    problem = await act.wrong(name, params)
    assert (problem.status, problem.error_type) == (422, "invalid_params")
    assert [(each["loc"], each["type"], each["input"]) for each in problem.extra["errors"]] == wrong


async def test_a_field_is_written_as_its_author_wrote_it(act):
    """The message with the action's params contains it."""
    problem = await act.wrong("field", {"epoch": 1})
    assert problem.message.endswith("It takes (epochs=Field(3, ge=1, le=10), name='ab').")


async def test_a_validation_error_of_the_action_itself_is_its_failure(act):
    """Such an error is about the action's own data."""
    problem = await act.wrong("raises", {"size": 0})
    assert (problem.status, problem.error_type) == (500, "action_failed")
