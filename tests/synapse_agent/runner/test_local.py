"""The caller's result, for every way in which an action ends."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import weakref
from pathlib import Path

import pytest
from keepers import is_alive

from synapse_agent import EmbeddedAgent
from synapse_agent.problems import Problem
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.limits import RunLimits

pytestmark = pytest.mark.anyio


async def test_a_function_gets_its_params_and_its_result_comes_back(runner, write_plugin):
    """Params are passed, the result is JSON, prints are in the log, and the start is reported once."""
    plugin = write_plugin(
        "def act(epochs, name='x'):\n    print('at work')\n    return {'epochs': epochs, 'name': name}\n"
    )
    assert await plugin.run(runner, {"epochs": 3}) == {"epochs": 3, "name": "x"}
    assert plugin.heard.log == b"at work\n"
    assert plugin.heard.starts == 1


@pytest.mark.parametrize("value", ["None", "0", "''", "False", "[]", "'가나다 \U0001f600'", "{'a': [1, 2.5, None]}"])
async def test_any_json_value_is_a_result(runner, write_plugin, value):
    """Values that are false in Python, and non-ASCII text, are returned unchanged."""
    assert await write_plugin(f"def act():\n    return {value}\n").run(runner) == eval(value)


async def test_a_large_result_and_large_params_pass(runner, write_plugin):
    """Ten megabytes, more than a message can have, are passed in both directions."""
    text = "가x" * 2_000_000
    assert await write_plugin("def act(text):\n    return text\n").run(runner, {"text": text}) == text


async def test_nothing_leaks_from_one_run_to_the_next(runner, write_plugin):
    """Each run starts from scratch, without modules, variables and files of the last one."""
    source = """
        import os, tempfile
        from pathlib import Path
        seen = []

        def act():
            seen.append(1)
            os.environ["LEFT"] = os.environ.get("LEFT", "") + "x"
            Path(tempfile.gettempdir(), "left").touch()
            Path.home().joinpath("left-at-home").touch()
            return [len(seen), os.environ["LEFT"], sorted(os.listdir(Path.home()))]
        """
    plugin = write_plugin(source)
    first, second = [await plugin.run(runner) for _ in range(2)]
    assert first == second == [1, "x", ["left", "left-at-home", "outputs"]]


async def test_an_action_that_raises_reports_what_and_where(runner, write_plugin):
    """`action_failed` has type, message, job and a traceback that starts in the plugin's own code."""
    plugin = write_plugin("def helper():\n    raise KeyError('epochs')\n\ndef act():\n    return helper()\n")
    problem = await plugin.problem(runner)
    assert (problem.status, problem.error_type, problem.message) == (500, "action_failed", "KeyError: 'epochs'")
    assert (problem.extra["exception_type"], problem.extra["exception_message"]) == ("KeyError", "'epochs'")
    assert problem.extra["job_id"].startswith("job-")
    lines = problem.extra["traceback"].splitlines()
    assert lines[:2] == ["Traceback (most recent call last):", '  File "plugin/main.py", line 5, in act']
    assert str(plugin.folder) not in problem.extra["traceback"]


async def test_an_exception_of_the_plugins_own_is_named_with_its_module(runner, write_plugin):
    """Even an exception whose text can't be made is reported."""
    source = """
        class Odd(Exception):
            def __str__(self):
                raise RuntimeError("no")

        def act():
            raise Odd()
        """
    problem = await write_plugin(source).problem(runner)
    assert problem.extra["exception_type"] == "plugin.main.Odd"
    assert problem.extra["exception_message"] == "(its message cannot be shown)"


async def test_recursion_without_end_is_a_failure_of_bounded_size(runner, write_plugin):
    """Python's own limit ends it, and the traceback stays readable."""
    problem = await write_plugin("def act():\n    return act()\n").problem(runner)
    assert problem.extra["exception_type"] == "RecursionError"
    assert len(problem.extra["traceback"]) < 5000


async def test_a_module_that_does_not_import_fails_with_its_own_traceback(runner, write_plugin):
    """The error is the one that the plugin's import raises."""
    problem = await write_plugin("import json\nimport no_such_thing\n").problem(runner)
    assert problem.error_type == "action_failed"
    cure = "Add no-such-thing to requirements.txt, or pass requirements=['no-such-thing']."
    assert problem.message == f"ModuleNotFoundError: No module named 'no_such_thing'. {cure}"
    assert problem.extra["traceback"].splitlines()[1] == '  File "plugin/main.py", line 2, in <module>'


async def test_a_syntax_error_names_file_and_line_as_the_author_knows_them(runner, write_plugin):
    """The path is relative to the plugin."""
    problem = await write_plugin("def act():\n    return (\n").problem(runner)
    assert problem.extra["exception_type"] == "SyntaxError"
    assert 'File "plugin/main.py", line 2' in problem.extra["traceback"]


@pytest.mark.parametrize(
    ("entrypoint", "message"),
    [
        ("plugin.missing:act", "module 'plugin.missing' was not found in the plugin or its environment"),
        ("plugin.missing.act", "'plugin' has no 'missing'"),
        ("missing.main.act", "module 'missing.main' was not found in the plugin or its environment"),
        ("plugin.main:missing", "'plugin.main' has no 'missing'; it has Trainer, act"),
        ("plugin.main:Trainer.missing", "'Trainer' has no 'missing'"),
        ("plugin.main:RATE.missing", "'float' has no 'missing'"),
        ("plugin/main.py:act", "it must be of the form 'package.module:attribute'"),
        ("plugin.main:", "it must be of the form 'package.module:attribute'"),
        ("act", "the attribute is missing; write it as 'package.module:attribute'"),
    ],
)
async def test_an_entrypoint_that_is_not_there_is_refused_by_name(runner, write_plugin, entrypoint, message):
    """The answer is 422, since nothing ran; the message has the existing names if that helps."""
    source = "RATE = 0.5\n\ndef act():\n    pass\n\nclass Trainer:\n    pass\n"
    plugin = write_plugin(source, entrypoint=entrypoint)
    problem = await plugin.problem(runner)
    assert (problem.status, problem.error_type) == (422, "entrypoint_not_found")
    assert problem.message == f"entrypoint '{entrypoint}': {message}"


@pytest.mark.parametrize("entrypoint", ["plugin.main.Trainer.train", "plugin.main:Trainer.train", "plugin.main.act"])
async def test_an_entrypoint_can_be_dotted_and_reach_into_a_class(runner, write_plugin, entrypoint):
    """This covers all ways in which plugins write entrypoints."""
    source = "def act():\n    return 1\n\nclass Trainer:\n    @staticmethod\n    def train():\n        return 1\n"
    assert await write_plugin(source, entrypoint=entrypoint).run(runner) == 1


async def test_a_plugins_module_that_pythons_own_hides_is_named(runner, write_plugin):
    """A top module called `json` is hidden; the author is asked to rename it."""
    plugin = write_plugin("", entrypoint="json:act")
    (plugin.folder / "json.py").write_text("def act():\n    return 1\n")
    problem = await plugin.problem(runner)
    assert (
        problem.message == "entrypoint 'json:act': Python's own module 'json' hides the plugin's; rename the plugin's"
    )


async def test_params_that_do_not_fit_name_the_parameter(runner, write_plugin):
    """The message has missing and unexpected ones, and the action's parameters, without a traceback."""
    problem = await write_plugin("def act(epochs, rate=0.1):\n    pass\n").problem(runner, {"epoch": 1})
    assert (problem.status, problem.error_type) == (422, "invalid_params")
    assert problem.message == (
        "The params do not fit the action: 'epochs' is missing; 'epoch' is unexpected. It takes (epochs, rate=0.1)."
    )
    assert [(error["loc"], error["type"]) for error in problem.extra["errors"]] == [
        (["params", "epochs"], "missing"),
        (["params", "epoch"], "unexpected"),
    ]


async def test_a_type_error_inside_the_action_is_the_actions_failure(runner, write_plugin):
    """It is not mistaken for params that do not fit."""
    problem = await write_plugin("def act():\n    return len()\n").problem(runner)
    assert (problem.error_type, problem.extra["exception_type"]) == ("action_failed", "TypeError")


async def test_a_result_that_json_cannot_represent_names_the_path(runner, write_plugin):
    """The answer is 500, since the action ran."""
    problem = await write_plugin("def act():\n    return {'items': [1, {'when': 3j}]}\n").problem(runner)
    assert (problem.status, problem.error_type) == (500, "result_not_serializable")
    assert problem.message.startswith(
        "The action's result cannot be written as JSON: $.items[1].when is of type complex. "
    )


async def test_a_result_over_the_limit_names_both_sizes(data_dir, write_plugin):
    """The limit protects the agent's memory and disk."""
    runner = LocalRunner(data_dir, limits=RunLimits(result_bytes=1000))
    problem = await write_plugin("def act():\n    return 'x' * 2000\n").problem(runner)
    await runner.close()
    assert problem.error_type == "result_too_large"
    assert (problem.extra["size"], problem.extra["limit"]) == (2002, 1000)


@pytest.mark.parametrize(
    ("leaving", "code", "log"),
    [
        ("os._exit(3)", 3, b""),
        ("sys.exit(4)", 4, b""),
        ("sys.exit()", 0, b""),
        ("sys.exit('gone wrong')", 1, b"gone wrong\n"),
    ],
)
async def test_an_action_that_exits_is_reported_with_its_code(runner, write_plugin, leaving, code, log):
    """Leaving without a result is a failure even with code 0."""
    plugin = write_plugin(f"import os, sys\n\ndef act():\n    {leaving}\n")
    problem = await plugin.problem(runner)
    assert (problem.error_type, problem.extra["exit_code"], plugin.heard.log) == ("action_exited", code, log)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM"])
async def test_an_action_that_is_killed_is_reported_with_the_signal(runner, write_plugin, name):
    """The signal is named."""
    source = f"import os, signal, time\n\ndef act():\n    os.kill(os.getpid(), signal.{name})\n    time.sleep(60)\n"
    problem = await write_plugin(source).problem(runner)
    assert (problem.error_type, problem.extra["signal"]) == ("action_killed", name)
    assert name in problem.message


async def test_the_time_limit_ends_an_action_that_ignores_being_asked(data_dir, write_plugin):
    """SIGTERM comes first, SIGKILL after the grace period; the log keeps what was printed."""
    source = """
        import signal, time

        def act():
            signal.signal(signal.SIGTERM, lambda *_: print("asked to end", flush=True))
            print("here", flush=True)
            while True:
                time.sleep(60)
        """
    runner = LocalRunner(data_dir, limits=RunLimits(grace=0.1))
    plugin = write_plugin(source)
    problem = await plugin.problem(runner, time_limit=1.5)
    await runner.close()
    assert (problem.error_type, problem.extra["time_limit"]) == ("action_timeout", 1.5)
    assert problem.message == "The action was stopped after its time limit of 1.5 s."
    assert plugin.heard.log == b"here\nasked to end\n"


async def test_the_cpu_limit_is_named(data_dir, write_plugin):
    """A busy loop ends with a signal; the error names the limit."""
    runner = LocalRunner(data_dir, limits=RunLimits(cpu_time=1))
    problem = await write_plugin("def act():\n    while True:\n        pass\n").problem(runner)
    await runner.close()
    assert (problem.error_type, problem.extra["signal"]) == ("action_killed", "SIGXCPU")
    assert "CPU time" in problem.message


async def test_the_memory_and_file_limits_hold(data_dir, write_plugin):
    """The action gets Python's own errors."""
    runner = LocalRunner(data_dir, limits=RunLimits(memory=600 * 2**20, file_size=1000))
    problem = await write_plugin("def act():\n    return len(bytearray(2**30))\n").problem(runner)
    assert problem.extra["exception_type"] == "MemoryError"
    assert re.search(
        r"The agent limits each process of a run to \d+ MiB of memory \(--max-memory\)\.$", problem.message
    )
    source = "import tempfile\n\ndef act():\n    with tempfile.TemporaryFile() as f:\n        f.write(b'x' * 5000)\n"
    problem = await write_plugin(source).problem(runner)
    assert problem.message == "OSError: [Errno 27] File too large"
    await runner.close()


async def test_the_limit_on_processes_holds(data_dir, write_plugin):
    """The kernel applies it to all users but root, so root's action changes its user first."""
    source = """
        import os, time

        def act(nobody):
            if os.geteuid() == 0:
                os.setuid(nobody)
            for count in range(200):
                if os.fork() == 0:
                    time.sleep(60)
            return count
        """
    runner = LocalRunner(data_dir, limits=RunLimits(processes=50))
    problem = await write_plugin(source).problem(runner, {"nobody": 64_999})
    await runner.close()
    assert problem.message == "BlockingIOError: [Errno 11] Resource temporarily unavailable"


async def test_stop_ends_a_run(runner, write_plugin, until):
    """Its `run` raises `action_stopped`; stopping an unknown run, or stopping twice, does no harm."""
    plugin = write_plugin("import time\n\ndef act():\n    print('up', flush=True)\n    time.sleep(60)\n")
    run = plugin.prepared({})
    task = asyncio.ensure_future(runner.run(run, plugin.heard))
    await until(lambda: plugin.heard.log)
    await runner.stop("no-such-job")
    await runner.stop(run.job_id)
    await runner.stop(run.job_id)
    with pytest.raises(Problem) as caught:
        await task
    assert (caught.value.error_type, caught.value.extra) == ("action_stopped", {"job_id": run.job_id})


async def test_cancelling_the_waiting_task_ends_the_run(runner, write_plugin, until, tmp_path):
    """The run ends before the task is done; its zygote may reap it a moment later."""
    mark = tmp_path / "mark"
    source = """
        import os, time
        from pathlib import Path

        def act(mark):
            Path(mark).write_text(str(os.getpid()))
            time.sleep(60)
        """
    plugin = write_plugin(source)
    task = asyncio.ensure_future(plugin.run(runner, {"mark": str(mark)}))
    await until(lambda: mark.exists() and mark.read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_alive(int(mark.read_text()))


async def test_closing_stops_what_runs_and_refuses_what_comes(data_dir, write_plugin, until):
    """New runs are 503, since they did not run."""
    runner = LocalRunner(data_dir)
    plugin = write_plugin("import time\n\ndef act():\n    time.sleep(60)\n")
    task = asyncio.ensure_future(plugin.problem(runner))
    await until(lambda: plugin.heard.starts)
    await runner.close()
    await runner.close()
    assert (await task).error_type == "action_stopped"
    assert (await plugin.problem(runner)).status == 503


async def test_progress_and_events_arrive_in_order(runner, write_plugin):
    """All events arrive, but of frequent progress only some reports and the last one."""
    source = """
        def act(context):
            for step in range(1000):
                context.set_progress(step + 1, 1000)
            context.log("scored", {"loss": 0.5})
            context.logger.info("done %s", "well")
        """
    plugin = write_plugin(source)
    await plugin.run(runner)
    assert plugin.heard.events[-2:] == [
        {"type": "progress", "current": 1000, "total": 1000},
        {"type": "event", "event": "scored", "data": {"loss": 0.5}},
    ]
    assert len(plugin.heard.events) < 50
    assert plugin.heard.log.endswith(b" INFO done well\n")


async def test_actions_of_all_methods_run_and_servers_are_refused(runner, write_plugin):
    """The runner does not depend on `method`, which determines how the caller gets the answer."""
    methods = ("local", "task", "job", "serve")
    actions = {name: {"entrypoint": "plugin.main:act", "method": name} for name in (*methods, "restapi")}
    plugin = write_plugin("def act():\n    return 1\n", actions=actions)
    assert [await plugin.run(runner, action=name) for name in methods] == [1, 1, 1, 1]
    assert (await plugin.problem(runner, action="restapi")).error_type == "method_not_supported"
    assert (await plugin.problem(runner, action="trian")).error_type == "unknown_action"


async def test_runs_happen_side_by_side(runner, write_plugin):
    """Twenty concurrent runs of a release have their own logs and results."""
    plugin = write_plugin("import time\n\ndef act(n):\n    time.sleep(0.05)\n    print(n)\n    return n\n")
    listeners = [type(plugin.heard)() for _ in range(20)]
    runs = [runner.run(plugin.prepared({"n": n}), heard) for n, heard in enumerate(listeners)]
    assert [int(result) for result in await asyncio.gather(*runs)] == list(range(20))
    assert [int(heard.log) for heard in listeners] == list(range(20))


async def test_a_listener_that_fails_does_not_hold_up_its_run(runner, write_plugin):
    """The result is returned; the event loop reports the error."""
    plugin = write_plugin("def act():\n    return 1\n")
    await plugin.run(runner)

    class Failing(type(plugin.heard)):
        def outputs(self, folder, is_over):
            if is_over:
                raise FileNotFoundError(folder)

    reported, loop = [], asyncio.get_running_loop()
    usual = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
    assert await runner.run(plugin.prepared({}), Failing()) == b"1"
    loop.set_exception_handler(usual)
    assert [type(each) for each in reported] == [FileNotFoundError]


async def test_a_run_that_is_over_holds_nothing(runner, write_plugin):
    """No timer or reference cycle keeps its listener in memory, which has everything that was recorded."""
    plugin = write_plugin("def act(context):\n    for number in range(150):\n        context.log('line', number)\n")
    await plugin.run(runner)
    kept = []
    gc.disable()
    try:
        for _ in range(30):
            listener = type(plugin.heard)()
            await runner.run(plugin.prepared({}), listener)
            kept.append(weakref.ref(listener))
            del listener
        assert [each for each in kept if each() is not None] == []
    finally:
        gc.enable()


async def test_what_a_run_leaves_costs_neither_its_result_nor_a_start(tmp_path, write_plugin):
    """It leaves folders nested deeper than Python's recursion limit."""
    source = """
        import os

        def act(levels):
            os.chdir(os.environ["HOME"])
            for _ in range(levels):
                os.mkdir("d")
                os.chdir("d")
            return levels
        """
    plugin = write_plugin(source)
    runner = LocalRunner(tmp_path / "data")
    assert await plugin.run(runner, {"levels": 3000}) == 3000
    assert await plugin.run(runner, {"levels": 0}) == 0
    await runner.close()
    assert list((tmp_path / "data" / "scratch").iterdir()) == []


async def test_what_a_killed_runner_left_is_removed_beside_the_first_runs(tmp_path, write_plugin, until):
    """Removing it may take long."""
    left = tmp_path / "data" / "scratch" / "left"
    left.mkdir(parents=True)
    current = os.open(left, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=current)
        below = os.open("d", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = below
    os.close(current)
    runner = LocalRunner(tmp_path / "data")
    assert await write_plugin("def act():\n    return 1\n").run(runner) == 1
    await until(lambda: not left.exists())
    await runner.close()


def test_a_plain_run_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    """Each import delays every run; pathlib would take longer than all others together."""
    source = "import atexit, sys\n\ndef act():\n    atexit.register(lambda: print('pathlib' in sys.modules))\n"
    with EmbeddedAgent(data_dir=tmp_path) as agent, agent.client() as client:
        plugin = {"config": {"actions": {"act": "plain:act"}}, "modules": {"plain": source}}
        assert client.run_debug_plugin_release("act", job_id="plain", **plugin) is None
        assert client.get_job_logs("plain") == "False\n"
