"""Served actions on the local runner: one object for many calls, each of which is a run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from synapse_agent.files.references import FileReference
from synapse_agent.runner.local import LocalRunner

pytestmark = pytest.mark.anyio

Write = Callable[..., Any]
Until = Callable[..., Awaitable[None]]


async def test_a_class_is_made_once_and_called_for_each_run(runner: LocalRunner, write_served: Write) -> None:
    """The object, with what `setup` loaded, stays in one process from call to call."""
    plugin = write_served()
    results = [await plugin.run(runner, {"x": x}) for x in (1, 2, 3)]
    assert [result["y"] for result in results] == [6, 12, 18]
    assert [result["calls"] for result in results] == [1, 2, 3]
    assert len({result["pid"] for result in results}) == 1


async def test_what_a_start_prints_is_in_the_log_of_the_call_that_waits(
    runner: LocalRunner, write_served: Write
) -> None:
    """The first call's log has the output of the start and its own, the second one's only its own."""
    plugin = write_served()
    await plugin.run(runner, {"x": 1})
    assert plugin.heard.log == b"constructing\nsetting up\npredicting 1\n"
    plugin.heard.log = b""
    await plugin.run(runner, {"x": 2})
    assert plugin.heard.log == b"predicting 2\n"


@pytest.mark.parametrize("method", ["act", "predict", "infer", "run", "execute", "__call__"])
async def test_the_method_is_chosen_by_its_name(runner: LocalRunner, write_served: Write, method: str) -> None:
    """The action's name comes first, then `predict`, `infer`, `run`, `execute` and `__call__`."""
    names = ["act", "predict", "infer", "run", "execute", "__call__"]
    there = "".join(f"    def {each}(self):\n        return {each!r}\n" for each in names[names.index(method) :])
    plugin = write_served(f"class Model:\n{there}")
    assert await plugin.run(runner) == method


async def test_a_function_s_module_is_loaded_once(runner: LocalRunner, write_served: Write) -> None:
    """The module's global objects stay."""
    source = "import itertools\nnumbers = itertools.count()\ndef act(step=1):\n    return next(numbers) * step\n"
    plugin = write_served(source, entrypoint="plugin.main:act")
    assert [await plugin.run(runner, {"step": 10}) for _ in range(3)] == [0, 10, 20]


async def test_an_async_method_and_setup_share_one_loop(runner: LocalRunner, write_served: Write) -> None:
    """A client that `setup` created in the worker's event loop works in each call."""
    plugin = write_served("""
        import asyncio

        class Model:
            async def setup(self):
                self.loop = asyncio.get_running_loop()
                self.lock = asyncio.Lock()

            async def predict(self, x):
                async with self.lock:
                    await asyncio.sleep(0)
                    return [x, asyncio.get_running_loop() is self.loop]
    """)
    assert [await plugin.run(runner, {"x": x}) for x in (1, 2)] == [[1, True], [2, True]]


async def test_progress_and_events_are_the_call_s_own(runner: LocalRunner, write_served: Write) -> None:
    """Each call reports on its own socket, after its output, with its job."""
    plugin = write_served("""
        class Model:
            def predict(self, context):
                context.set_progress(1, 2)
                context.log("seen", {"job": context.job_id})
                context.logger.info("hello")
                return context.env["SYNAPSE_JOB_ID"] == context.job_id
    """)
    for job_id in ("first", "second"):
        plugin.heard.events.clear()
        assert await plugin.run(runner, job_id=job_id) is True
        assert [event["type"] for event in plugin.heard.events] == ["progress", "event"]
        assert plugin.heard.events[1]["data"] == {"job": job_id}
    assert plugin.heard.log.count(b"hello") == 2


async def test_what_a_call_has_left_running_does_not_print_into_the_next_one(
    runner: LocalRunner, write_served: Write
) -> None:
    """A process that an earlier call left behind can't write into the log of the next call."""
    plugin = write_served("""
        import subprocess, sys

        LATE = "import sys; sys.stdin.read(); print('late', flush=True)"

        class Model:
            def predict(self, x):
                print("call", x, flush=True)
                if x == 1:
                    self.left = subprocess.Popen([sys.executable, "-c", LATE], stdin=subprocess.PIPE)
                if x == 2:
                    self.left.stdin.close()
                    self.left.wait()
                return x
    """)
    for x in range(5):
        plugin.heard.log = b""
        assert await plugin.run(runner, {"x": x}) == x
        assert plugin.heard.log.endswith(b"call %d\n" % x), "the output of an earlier call is in this log"
    (worker,) = runner._serving.workers
    assert len(worker._channels) == 1


async def test_params_that_do_not_fit_and_failures_leave_the_worker_as_it_is(
    runner: LocalRunner, write_served: Write
) -> None:
    """A refused or failed call names the reason, and the object serves the next one."""
    plugin = write_served("""
        class Model:
            calls = 0

            def predict(self, x: int):
                self.calls += 1
                if x < 0:
                    raise ValueError("negative")
                return self.calls if x else object()
    """)
    assert (await plugin.problem(runner, {"y": 1})).error_type == "invalid_params"
    assert (await plugin.problem(runner, {"x": "many"})).error_type == "invalid_params"
    failed = await plugin.problem(runner, {"x": -1})
    assert (failed.error_type, failed.extra["exception_type"]) == ("action_failed", "ValueError")
    assert failed.extra["traceback"].splitlines()[1].strip().startswith('File "plugin/main.py"')
    assert (await plugin.problem(runner, {"x": 0})).error_type == "result_not_serializable"
    assert await plugin.run(runner, {"x": "1"}) == 3


async def test_large_params_and_results_pass(runner: LocalRunner, write_served: Write) -> None:
    """Data that does not fit into a message is sent as a file, and returned in parts."""
    plugin = write_served("def act(text):\n    return text[::-1]\n", entrypoint="plugin.main:act")
    text = "ab" * 500_000
    assert await plugin.run(runner, {"text": text}) == text[::-1]


async def test_a_call_over_its_time_limit_is_stopped_and_the_worker_stays(
    runner: LocalRunner, write_served: Write
) -> None:
    """The call is interrupted at its current line; the next one uses the same object."""
    plugin = write_served()
    first = await plugin.run(runner)
    problem = await plugin.problem(runner, {"seconds": 60}, time_limit=0.2)
    assert problem.error_type == "action_timeout"
    assert (await plugin.run(runner))["pid"] == first["pid"]


async def test_an_async_call_over_its_time_limit_is_cancelled(runner: LocalRunner, write_served: Write) -> None:
    """A stop cancels the task, and the worker continues."""
    plugin = write_served("""
        import asyncio, os

        class Model:
            async def predict(self, seconds=0):
                await asyncio.sleep(seconds)
                return os.getpid()
    """)
    pid = await plugin.run(runner)
    assert (await plugin.problem(runner, {"seconds": 60}, time_limit=0.2)).error_type == "action_timeout"
    assert await plugin.run(runner) == pid


async def test_a_stopped_call_ends_and_one_that_does_not_stop_ends_with_its_worker(
    runner: LocalRunner, write_served: Write, until: Until
) -> None:
    """`stop` interrupts a call; if the call continues, its worker is killed after the grace period and replaced."""
    plugin = write_served("""
        import os, time

        class Model:
            def predict(self, stubborn=False, wait=True):
                if not wait:
                    return os.getpid()
                while True:
                    try:
                        time.sleep(60)
                    except BaseException:
                        if not stubborn:
                            raise
    """)
    pid = await plugin.run(runner, {"wait": False})
    for stubborn in (False, True):
        starts = plugin.heard.starts
        waiting = asyncio.ensure_future(plugin.problem(runner, {"stubborn": stubborn}, job_id="to stop"))
        await until(lambda before=starts: plugin.heard.starts > before)
        await runner.stop("to stop")
        assert (await waiting).error_type == "action_stopped"
        assert (await plugin.run(runner, {"wait": False}) == pid) is not stubborn


async def test_a_worker_that_dies_fails_the_call_that_it_had_and_is_replaced(
    runner: LocalRunner, write_served: Write
) -> None:
    """The call reports how the worker ended; the next call has another worker, with its own object."""
    plugin = write_served("""
        import os

        class Model:
            calls = 0

            def predict(self, how=None):
                self.calls += 1
                if how == "kill":
                    os.kill(os.getpid(), 9)
                if how == "exit":
                    os._exit(3)
                return self.calls
    """)
    assert await plugin.run(runner) == 1
    killed = await plugin.problem(runner, {"how": "kill"})
    assert (killed.error_type, killed.extra["signal"]) == ("action_killed", "SIGKILL")
    assert await plugin.run(runner) == 1
    exited = await plugin.problem(runner, {"how": "exit"})
    assert (exited.error_type, exited.extra["exit_code"]) == ("action_exited", 3)
    assert await plugin.run(runner) == 1


async def test_calls_that_wait_have_another_worker_when_theirs_dies(runner: LocalRunner, write_served: Write) -> None:
    """Of ten concurrent calls, only the one that kills its worker fails, and none runs twice."""
    plugin = write_served(
        """
        import os, time

        def act(number, folder):
            open(f"{folder}/{number}-{os.getpid()}", "x").close()
            time.sleep(0.02)
            if number == 3:
                os.kill(os.getpid(), 9)
            return number
    """,
        entrypoint="plugin.main:act",
    )
    marks = plugin.folder / "marks"
    marks.mkdir()
    calls = [plugin.run(runner, {"number": number, "folder": str(marks)}) for number in range(10)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [result for result in results if isinstance(result, int)] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert sorted(int(mark.name.partition("-")[0]) for mark in marks.iterdir()) == list(range(10))


async def test_a_start_that_fails_is_reported_with_its_last_lines_and_backs_off(
    runner: LocalRunner, write_served: Write
) -> None:
    """`serve_failed` has the exception and the log; after two failures, the next start is delayed."""
    plugin = write_served("""
        class Model:
            def __init__(self):
                print("loading weights")
                raise RuntimeError("no weights")

            def predict(self):
                return 1
    """)
    for _ in range(2):
        problem = await plugin.problem(runner)
        assert (problem.status, problem.error_type) == (500, "serve_failed")
        assert "no weights" in problem.message
        assert problem.extra["log"] == "loading weights"
        assert problem.extra["exception_type"] == "RuntimeError"
    assert plugin.heard.log.count(b"loading weights") == 2
    assert (await plugin.problem(runner)).error_type == "serve_failed"
    assert plugin.heard.log.count(b"loading weights") == 2, "a third start came at once"


async def test_a_start_that_takes_too_long_is_ended(runner: LocalRunner, write_served: Write) -> None:
    """`startup_timeout` limits the time until the object is ready."""
    source = """
        import time

        class Model:
            def setup(self):
                time.sleep(60)

            def run(self):
                pass
    """
    problem = await write_served(source, startup_timeout=0.3).problem(runner)
    assert problem.error_type == "serve_failed"
    assert "0.3 s" in problem.message


NEEDS_WEIGHTS = "class Model:\n    def __init__(self, weights):\n        pass\n    def run(self):\n        pass\n"


@pytest.mark.parametrize(
    ("source", "error_type", "words"),
    [
        (NEEDS_WEIGHTS, "invalid_plugin", "`weights`"),
        ("class Model:\n    pass\n", "entrypoint_not_found", "`predict`, `infer`"),
        ("Model = 5\n", "entrypoint_not_found", "int 5"),
        ("", "entrypoint_not_found", "Model"),
    ],
)
async def test_what_cannot_be_served_is_refused(
    runner: LocalRunner, write_served: Write, source: str, error_type: str, words: str
) -> None:
    """A class that needs what a worker does not provide is refused by name before any call."""
    problem = await write_served(source).problem(runner)
    assert (problem.status, problem.error_type) == (422, error_type)
    assert words in problem.message


async def test_a_debug_run_makes_the_object_for_itself(runner: LocalRunner, write_served: Write) -> None:
    """A run from source has a new process, in which the object is created, set up and called once."""
    plugin = write_served()
    for _ in range(2):
        assert (await plugin.run(runner, {"x": 2}, release=None))["calls"] == 1
    assert plugin.heard.log == b"constructing\nsetting up\npredicting 2\n" * 2


async def test_an_idle_worker_ends_and_the_next_call_starts_another(runner: LocalRunner, write_served: Write) -> None:
    """After `idle` seconds without a call, none of its processes is left."""
    plugin = write_served(idle=0.2)
    first = await plugin.run(runner)
    end = asyncio.get_running_loop().time() + 20
    while await runner.serve_applications():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.02)
    second = await plugin.run(runner)
    assert (second["calls"], second["pid"] != first["pid"]) == (1, True)


async def test_a_worker_is_replaced_after_its_last_call(runner: LocalRunner, write_served: Write) -> None:
    """`max_calls` limits the calls of one object."""
    plugin = write_served(max_calls=2)
    assert [(await plugin.run(runner))["calls"] for _ in range(5)] == [1, 2, 1, 2, 1]


async def test_more_workers_come_while_calls_wait(runner: LocalRunner, write_served: Write) -> None:
    """They start one after the other, up to `max_workers`."""
    plugin = write_served(max_workers=2)
    calls = [plugin.run(runner, {"seconds": 0.5}) for _ in range(6)]
    results = await asyncio.gather(*calls)
    assert len({result["pid"] for result in results}) == 2
    (record,) = await runner.serve_applications()
    assert (record["status"], len(record["workers"]), record["calls"]) == ("RUNNING", 2, 6)


async def test_coroutines_share_a_worker(runner: LocalRunner, write_served: Write) -> None:
    """Up to `concurrency` calls run at the same time, and each log has only its call's output."""
    plugin = write_served(
        """
        import asyncio

        class Model:
            together = 0
            most = 0

            async def predict(self, number):
                self.together += 1
                self.most = max(self.most, self.together)
                print("begin", number)
                for _ in range(250):  # a busy machine sends the last one late
                    if self.most == 4:
                        break
                    await asyncio.sleep(0.02)
                print("end", number)
                self.together -= 1
                return self.most
    """,
        concurrency=4,
    )
    runs = [(plugin.prepared({"number": number}), type(plugin.heard)()) for number in range(4)]
    results = await asyncio.gather(*(runner.run(run, heard) for run, heard in runs))
    assert max(map(json.loads, results)) == 4
    assert [heard.log for _, heard in runs] == [f"begin {n}\nend {n}\n".encode() for n in range(4)]


async def test_the_other_calls_of_a_killed_worker_fail_with_the_reason(
    runner: LocalRunner, write_served: Write, until: Until
) -> None:
    """A call that blocks the loop can't be cancelled: its worker is killed, and the others fail with that reason."""
    plugin = write_served(
        """
        import asyncio, time

        class Model:
            async def predict(self, block=False):
                if block:
                    time.sleep(60)
                await asyncio.sleep(60)
    """,
        concurrency=2,
    )
    other = asyncio.ensure_future(plugin.problem(runner))
    await until(lambda: plugin.heard.starts == 1)
    problem = await plugin.problem(runner, {"block": True}, job_id="the blocking one", time_limit=0.2)
    assert problem.error_type == "action_timeout"
    problem = await other
    assert problem.error_type == "action_killed"
    assert "'the blocking one'" in problem.message


async def test_concurrency_needs_a_coroutine(runner: LocalRunner, write_served: Write) -> None:
    """A plain method can't share its worker: it is refused, with both fixes."""
    problem = await write_served(concurrency=2).problem(runner)
    assert (problem.status, problem.error_type) == (422, "invalid_plugin")
    assert "`async def`" in problem.message


async def test_an_application_is_ended_and_starts_anew(runner: LocalRunner, write_served: Write) -> None:
    """Ending it ends its worker; the next call starts a new one."""
    plugin = write_served()
    first = await plugin.run(runner)
    (record,) = await runner.serve_applications()
    assert record["name"] == "tried@1.0.0:act"
    await runner.delete_serve_application("tried@1.0.0:act")
    assert await runner.serve_applications() == []
    assert (await plugin.run(runner))["pid"] != first["pid"]


async def test_nothing_is_left_of_a_folder_that_is_forgotten(runner: LocalRunner, write_served: Write) -> None:
    """Deleting a release ends its workers."""
    plugin = write_served()
    await plugin.run(runner)
    await runner.forget(plugin.folder)
    assert await runner.serve_applications() == []


async def test_warming_makes_a_worker_ready_before_the_first_call(runner: LocalRunner, write_served: Write) -> None:
    """Then the first call does not wait for a start."""
    plugin = write_served()
    assert await runner.run(plugin.prepared({}, warms=True), plugin.heard) == b"null"
    (record,) = await runner.serve_applications()
    assert (record["status"], record["calls"], record["workers"][0]["status"]) == ("RUNNING", 0, "IDLE")
    assert plugin.heard.starts == 0
    plugin.heard.log = b""
    assert (await plugin.run(runner))["calls"] == 1
    assert plugin.heard.log == b"predicting 1\n"


async def test_files_that_a_call_leaves_are_its_own(runner: LocalRunner, write_served: Write) -> None:
    """Each call has a folder for them, whose files are kept even when the worker dies."""
    plugin = write_served("""
        import os
        from pathlib import Path

        class Model:
            def predict(self, context, name=None, dies=False):
                assert os.environ["SYNAPSE_OUTPUT_DIR"] == str(context.outputs)
                if name:
                    (context.outputs / name).write_text(name)
                    os.utime(context.outputs, (0, 0))  # such as those of a folder that was copied
                if dies:
                    os._exit(1)
    """)
    for call in ({"name": "first"}, {}, {"name": "second"}):
        plugin.heard.left.clear()
        await plugin.run(runner, call)
        assert plugin.heard.left == {name: name.encode() for name in call.values()}
    plugin.heard.left.clear()
    assert (await plugin.problem(runner, {"name": "third", "dies": True})).error_type == "action_exited"
    assert plugin.heard.left == {"third": b"third"}


async def test_an_empty_folder_of_outputs_is_used_again(runner: LocalRunner, write_served: Write) -> None:
    """To make one takes longer than to rename it; a process that the call has left may still use its folder."""
    plugin = write_served("""
        import os
        import subprocess

        class Model:
            folder = None

            def predict(self, context, leaves=False):
                found = os.stat(context.outputs)
                is_the_same = self.folder is not None and os.path.samestat(os.fstat(self.folder), found)
                self.folder = os.open(context.outputs, os.O_RDONLY)
                if leaves:
                    self.left = subprocess.Popen(["sleep", "1000"])
                return is_the_same
    """)
    found = [await plugin.run(runner, call) for call in ({}, {}, {"leaves": True}, {})]
    assert found == [False, True, True, False]


async def test_files_that_params_refer_to_are_there_during_the_call(
    runner: LocalRunner, write_served: Write, tmp_path: Path
) -> None:
    """A reference becomes the path of a copy in the worker's HOME, which is removed after the call."""
    plugin = write_served("""
        from pathlib import Path

        class Model:
            paths = []

            def predict(self, image):
                left = [path for path in self.paths if Path(path).exists()]
                self.paths.append(image)
                return [Path(image).name, Path(image).read_text(), left]
    """)
    stored = tmp_path / "stored"
    stored.write_text("pixels")
    reference = FileReference("2cf24dba" * 8, "cat.jpg")
    params = {"image": {"$file": {"id": "2cf24dba" * 8, "name": "cat.jpg"}}}
    for _ in range(2):
        assert await plugin.run(runner, params, files={reference: stored}) == ["cat.jpg", "pixels", []]


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_a_call_that_yields_reports_each_value(runner: LocalRunner, write_served: Write, kind: str) -> None:
    """It yields as any run does, even in an async worker; the object stays."""
    plugin = write_served(f"""
        class Model:
            calls = 0

            {kind} predict(self, n):
                self.calls += 1
                for number in range(n):
                    yield [self.calls, number]
    """)
    assert await plugin.run(runner, {"n": 2}) == [[1, 0], [1, 1]]
    assert await plugin.run(runner, {"n": 1}) == [[2, 0]]
    assert [json.loads(event["value"]) for event in plugin.heard.events if event["type"] == "output"] == [
        [1, 0],
        [1, 1],
        [2, 0],
    ]


HEAVY = """
    import os

    class Model:
        def setup(self):
            self.weights = [os.urandom(50_000_000)]

        def predict(self, size):
            self.weights.append(os.urandom(size))
            return os.getpid()
"""


async def test_a_worker_s_memory_is_reported(sandboxed_runner: LocalRunner, write_served: Write) -> None:
    """It is the kernel's value for that process, even in its own namespaces."""
    plugin = write_served("""
        import os

        class Model:
            def setup(self):
                self.weights = os.urandom(50_000_000)

            def predict(self):
                return None
    """)
    await plugin.run(sandboxed_runner)
    (record,) = await sandboxed_runner.serve_applications()
    assert 50_000_000 < record["workers"][0]["memory"] < 200_000_000


async def test_workers_without_calls_end_when_all_take_too_much_memory(data_dir: Path, write_served: Write) -> None:
    """Workers that are idle the longest end first; the one used last stays, and all count as prepared processes."""
    runner = LocalRunner(data_dir, max_warm_memory=160_000_000)  # room for two workers of 50 MB and their zygotes
    plugin = {name: write_served(HEAVY) for name in "abc"}

    def run(name: str, size: int = 0) -> Awaitable[int]:
        return plugin[name].run(runner, {"size": size}, release=name)

    async def held(*names: str) -> None:
        """Wait until exactly these actions have a worker."""
        end = asyncio.get_running_loop().time() + 20
        while [record["release"] for record in await runner.serve_applications()] != [*names]:
            assert asyncio.get_running_loop().time() < end, (names, await runner.serve_applications(), runner.kept())
            await asyncio.sleep(0.02)

    try:
        pids = {name: await run(name) for name in plugin}
        await held("b", "c")
        assert (runner.figures()["worker"], runner.kept()["memory"] > 100_000_000) == (2, True)
        assert await run("c", 100_000_000) == pids["c"]
        await held("c")
        assert await run("c") == pids["c"], "the only worker has ended"
        assert await run("a") != pids["a"]
        await held("a")
    finally:
        await runner.close()


async def test_a_worker_in_a_sandbox_serves(sandboxed_runner: LocalRunner, write_served: Write) -> None:
    """Stops, outputs and replacements work in namespaces, too."""
    plugin = write_served("""
        import os, time

        class Model:
            def predict(self, context, seconds=0.0, dies=False):
                (context.outputs / "left").write_text("x")
                time.sleep(seconds)
                if dies:
                    os._exit(1)
                return os.getpid()
    """)
    pid = await plugin.run(sandboxed_runner)
    assert plugin.heard.left == {"left": b"x"}
    assert (await plugin.problem(sandboxed_runner, {"seconds": 60}, time_limit=0.3)).error_type == "action_timeout"
    assert await plugin.run(sandboxed_runner) == pid
    assert (await plugin.problem(sandboxed_runner, {"dies": True})).error_type == "action_exited"
    assert await plugin.run(sandboxed_runner) > 0
