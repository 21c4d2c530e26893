"""Every shape of an entrypoint, run as an action on this agent's Python and on the oldest of the machine."""

from __future__ import annotations

import asyncio
import sys

import pytest

from synapse_agent.runner.environments.interpreters import Interpreters
from synapse_agent.runner.local import LocalRunner

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def oldest():
    """Return the oldest Python of this machine that a plugin can request."""
    every = asyncio.run(_all())
    return min(every, key=lambda python: tuple(map(int, python.version.split("."))))


async def _all():
    return await Interpreters().all()


@pytest.fixture(params=["own", "oldest"])
def python(request):
    """Return the Python of a test."""
    return request.param


@pytest.fixture
async def runner(data_dir, oldest, python):
    """Yield a runner that prefers the agent's own Python, or the oldest."""
    runner = LocalRunner(data_dir, pythons=[oldest.path] if python == "oldest" else [])
    yield runner
    await runner.close()


FUNCTION_OF_ANYTHING = """
    def act(**kwargs):
        return kwargs
    """

FUNCTION_THAT_NAMES = """
    def act(data, rate=0.5):
        return [data, rate]
    """

FUNCTION_OF_PARAMS = """
    def act(params):
        return params
    """

FUNCTION_OF_PARAMS_AND_CONTEXT = """
    def act(params, context):
        return [params, context.language, context.action, context.env["GREETING"]]
    """

CLASS_WITH_THE_ACTIONS_METHOD = """
    class Checker:
        def __init__(self, **options):
            self.strict = options.get("strict", False)

        def act(self, data):
            return [data, self.strict]

        def run(self):
            raise AssertionError("the method of the action's name comes first")
    """

CLASS_WITH = """
    class Checker:
        def __init__(self, params, context):
            self.params, self.context = params, context

        def {method}(self):
            return [self.params, self.context.action]
    """

ASYNC_FUNCTION = """
    import asyncio

    async def act(data):
        await asyncio.sleep(0)
        return data
    """

ASYNC_METHOD = """
    import asyncio

    class Checker:
        async def run(self, data):
            await asyncio.sleep(0)
            return data
    """

CLASS_WITH_DISPATCH = """
    class Checker:
        @classmethod
        def dispatch(cls, params, ctx):
            return [params, ctx.action]

        def act(self):
            raise AssertionError("`dispatch` comes first")
    """

CLASS_WHOSE_INSTANCES_DISPATCH = """
    class Checker:
        def dispatch(self, request):
            raise AssertionError("this is a web framework's, not the SDK's")

        def run(self, data):
            return data
    """

MARKED_FUNCTION = """
    def act(params, ctx):
        return [params, ctx.action]

    act._is_action = True
    """

ROWS = {
    "a class with dispatch": (CLASS_WITH_DISPATCH, "Checker", {"data": 1}, [{"data": 1}, "act"]),
    "a dispatch of instances is none": (CLASS_WHOSE_INSTANCES_DISPATCH, "Checker", {"data": 1}, 1),
    "a marked function": (MARKED_FUNCTION, "act", {"data": 1}, [{"data": 1}, "act"]),
    "**kwargs": (FUNCTION_OF_ANYTHING, "act", {"a": 1, "context": 2}, {"a": 1, "context": 2}),
    "names": (FUNCTION_THAT_NAMES, "act", {"data": 1}, [1, 0.5]),
    "(params)": (FUNCTION_OF_PARAMS, "act", {"data": 1, "x": 2}, {"data": 1, "x": 2}),
    "(params, context)": (FUNCTION_OF_PARAMS_AND_CONTEXT, "act", {"a": 1}, [{"a": 1}, "ko", "act", "hi"]),
    "a method named as the action": (CLASS_WITH_THE_ACTIONS_METHOD, "Checker", {"data": 1, "strict": True}, [1, True]),
    "run": (CLASS_WITH.format(method="run"), "Checker", {"a": 1}, [{"a": 1}, "act"]),
    "execute": (CLASS_WITH.format(method="execute"), "Checker", {"a": 1}, [{"a": 1}, "act"]),
    "__call__": (CLASS_WITH.format(method="__call__"), "Checker", {"a": 1}, [{"a": 1}, "act"]),
    "async def": (ASYNC_FUNCTION, "act", {"data": 1}, 1),
    "an async method": (ASYNC_METHOD, "Checker", {"data": 1}, 1),
}


@pytest.mark.parametrize("row", ROWS)
async def test_an_entrypoint_is_called_by_its_shape(runner, write_plugin, row, python):
    """It is written `package.module:attribute` on one Python, `package.module.attribute` on the other."""
    source, attribute, params, result = ROWS[row]
    entrypoint = f"plugin.main:{attribute}" if python == "own" else f"plugin.main.{attribute}"
    plugin = write_plugin(source, entrypoint=entrypoint, env={"GREETING": "hi"})
    assert await plugin.run(runner, params, language="ko") == result


@pytest.mark.parametrize(
    ("source", "attribute", "said"),
    [
        (FUNCTION_THAT_NAMES, "act", "'data' is missing; 'day' is unexpected. It takes (data, rate=0.5)."),
        (CLASS_WITH_THE_ACTIONS_METHOD, "Checker", "'data' is missing. It takes (**options, data)."),
        (ASYNC_FUNCTION, "act", "'data' is missing; 'day' is unexpected. It takes (data)."),
    ],
)
async def test_a_call_that_does_not_fit_is_refused_by_parameter(runner, write_plugin, source, attribute, said):
    """The answer is 422 without a traceback, for every shape."""
    plugin = write_plugin(source, entrypoint=f"plugin.main:{attribute}")
    problem = await plugin.problem(runner, {"day": 1})
    assert (problem.status, problem.error_type) == (422, "invalid_params")
    assert problem.message == f"The params do not fit the action: {said}"
    assert "traceback" not in problem.extra


async def test_a_marked_function_that_takes_something_else_is_refused(runner, write_plugin):
    """The plugin is at fault, and none of its code ran."""
    plugin = write_plugin("def act(params):\n    return params\n\nact._is_action = True\n")
    problem = await plugin.problem(runner, {"data": 1})
    assert (problem.status, problem.error_type) == (422, "entrypoint_not_found")
    assert "a function marked by @action is called with (params, ctx)" in problem.message


CONTEXT = """
    def act(context):
        context.logger.info("by the logger")
        context.logger.debug("not this")
        context.set_progress(1, 4)
        context.set_progress(2, 4, "fit")
        context.log("scored", {"loss": 0.5})
        context.log("odd", {"found": 1j, "seen": {2, 1}})
        context.log("long", "x" * 60_000)
    """


async def test_the_context_reports(runner, write_plugin):
    """It reports progress, with its step, events and log records; a `repr` replaces what an event can't contain."""
    plugin = write_plugin(CONTEXT)
    assert await plugin.run(runner) is None
    *reports, long = plugin.heard.events
    assert reports == [
        {"type": "progress", "current": 1, "total": 4},
        {"type": "progress", "current": 2, "total": 4, "step": "fit"},
        {"type": "event", "event": "scored", "data": {"loss": 0.5}},
        {"type": "event", "event": "odd", "data": {"found": "1j", "seen": [1, 2]}},
    ]
    assert long["data"].startswith("'xxx")
    assert long["left_out"] == "This is the beginning of 60041 bytes; the limit for an event is 60000."
    assert plugin.heard.log.endswith(b"INFO by the logger\n")


ODD_REPORTS = """
    from decimal import Decimal
    from fractions import Fraction

    class Broken:
        def __str__(self):
            raise RuntimeError

        __repr__ = __float__ = __index__ = __str__

    def act(context):
        context.set_progress(Fraction(1, 2), None)
        context.log("then", None)
        context.set_progress(Decimal("1.5"), 3)
        context.log(7)
        context.set_progress("half", {}, 5)
        context.log(None, Broken())
        context.set_progress(Broken(), 2, "x" * 60_000)
        context.log(Broken(), float("nan"))
    """


async def test_a_report_of_odd_values_is_a_report_all_the_same(runner, write_plugin):
    """No value ends the action; the log names invalid numbers, and the record has numbers and text."""
    plugin = write_plugin(ODD_REPORTS)
    assert await plugin.run(runner) is None
    broken = "(Broken whose repr cannot be shown)"
    *reports, last_progress, last_event = plugin.heard.events
    assert reports == [
        {"type": "progress", "current": 0.5, "total": None},
        {"type": "event", "event": "then", "data": None},
        {"type": "progress", "current": 1.5, "total": 3},
        {"type": "event", "event": "7", "data": None},
        {"type": "progress", "current": None, "total": None, "step": "5"},
        {"type": "event", "event": "None", "data": broken},
    ]
    assert (last_progress["current"], last_progress["total"], len(last_progress["step"])) == (None, 2, 1001)
    assert (last_event["event"], last_event["data"]) == ("(Broken whose str cannot be shown)", None)
    assert plugin.heard.log.decode().splitlines() == [
        "set_progress: current must be a number, not 'half'",
        "set_progress: total must be a number, not {}",
        f"set_progress: current must be a number, not {broken}",
    ]


async def test_a_module_that_is_there_only_compiled_is_run(write_plugin, runner, oldest, python):
    """Plugins without source have such modules; the error names the Python that the module was compiled for."""
    plugin = write_plugin("def act():\n    return 1\n", entrypoint="plugin.bare:act")
    source = plugin.folder / "plugin" / "main.py"
    bare = source.with_name("bare.pyc")
    compiler = oldest.path if python == "oldest" else sys.executable
    script = "import py_compile, sys; py_compile.compile(*sys.argv[1:])"
    assert await (await asyncio.create_subprocess_exec(compiler, "-c", script, source, bare)).wait() == 0
    assert await plugin.run(runner) == 1
    bare.write_bytes(b"\x00\x00\r\n" + bare.read_bytes()[4:])
    problem = await plugin.problem(runner)
    assert (problem.status, problem.error_type) == (422, "entrypoint_not_found")
    assert "its module exists only compiled, as bare.pyc, but not for this Python" in problem.message


ANNOTATED = """
    import dataclasses
    import datetime
    import enum
    from pathlib import Path
    from typing import Dict, List, Optional, Tuple

    class Kind(enum.Enum):
        SMALL = "small"

    @dataclasses.dataclass
    class Layer:
        size: int
        kind: Kind = Kind.SMALL

    Rates = Dict[str, float]

    def act(layers: List[Layer], when: Optional[datetime.date], where: "Path", rates: Rates, at: Tuple[int, int]):
        return [layers[0].size, layers[0].kind.name, when.year, where.name, rates, at, type(at).__name__]
    """


async def test_annotations_mean_something_on_every_python(runner, write_plugin):
    """No package has to be installed."""
    plugin = write_plugin(ANNOTATED)
    params = {"layers": [{"size": "3"}], "when": "2026-11-30", "where": "a/b", "rates": {"x": "0.5"}, "at": ["1", 2]}
    assert await plugin.run(runner, params) == [3, "SMALL", 2026, "b", {"x": 0.5}, [1, 2], "tuple"]
    problem = await plugin.problem(runner, {**params, "layers": [{"size": "many", "kind": "big"}]})
    assert [(each["loc"], each["type"]) for each in problem.extra["errors"]] == [
        (["params", "layers", 0, "size"], "int_parsing"),
        (["params", "layers", 0, "kind"], "enum"),
    ]
