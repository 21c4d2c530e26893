"""Actions that fail in every way: the caller gets an error, and nothing is left behind."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from uuid import uuid4

import pytest
from waiting import until

from synapse_sdk.exceptions import ActionFailedError, ServerError, ValidationError

ACTIONS = """
import os, signal, sys, threading, time, warnings


def reads(path, lines=10):
    return lines


def fails():
    raise ValueError("the file is empty")


def prints_megabytes():
    for number in range(2000):
        print(number, "x" * 5000)
    return "printed"


def prints_one_line():
    sys.stdout.write("y" * 3_000_000)
    return "printed"


def writes_everywhere():
    for descriptor in range(3, 1024):
        try:
            os.write(descriptor, b'{"result": "forged"}')
        except OSError:
            pass
    return "true"


def leaves():
    os._exit(3)


def kills_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def forks():
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
    return "parent"


def starts_threads():
    for seconds, is_daemon in [(0.2, False), (600, True)] * 3:
        threading.Thread(target=time.sleep, args=(seconds,), daemon=is_daemon).start()
    return "started"


def returns_object():
    return {"found": ["a", {object}]}


def returns_nan():
    return {"losses": [0.5, float("nan")]}


def reports_anything(context):
    context.set_progress(float("nan"), float("inf"), step=3)
    context.set_progress("half")
    context.log("metrics", {"loss": float("nan"), "model": object})
    context.log(None, "y" * 100_000)
    sys.stdout.close()
    context.log("late", 1)
    return "done"


def returns_cycle():
    model = {"name": "m"}
    model["best of"] = [model]
    return model


def returns_keys():
    return {"best": {1: "a", "1": "b"}}


def returns_50_mb():
    return "z" * 50_000_000


def recurses(depth=0):
    return recurses(depth + 1) + 1


def recurses_in_c():
    sys.setrecursionlimit(10**9)
    return sorted([1], key=lambda number: recurses_in_c())


def exits():
    sys.exit()


def exits_with_words():
    sys.exit("no licence")


def warns():
    warnings.warn("this is the old way", stacklevel=1)
    return "warned"


def prints_bytes():
    os.write(1, b"caf\\xe9 \\xff\\xfe\\n")
    print("\\udcff")
    return "printed"


def raises_what_cannot_be_shown():
    class Unspeakable(Exception):
        def __str__(self):
            raise RuntimeError

    raise Unspeakable


def raises_at_length():
    raise ValueError("m" * 10_000_000)


def waits_for_input():
    return sys.stdin.read() or input()
"""
ENTRYPOINTS = {
    **{name: f"plugin.acts:{name}" for name in re.findall(r"^def (\w+)", ACTIONS, re.MULTILINE)},
    "without_module": "plugin.absent:go",
    "without_function": "plugin.acts:absent",
    "misspelt": "plugin acts go",
    "unimportable": "plugin.unimportable:go",
    "unparseable": "plugin.unparseable:go",
}


@pytest.fixture(scope="module")
def acts(edges_agent, plugins, write_files, settle) -> Iterator[str]:
    """A cached release with an action for every kind of failure."""
    config = "code: acts\nversion: 1.0.0\nactions:\n" + "".join(
        f"  {name}: {{entrypoint: '{entrypoint}', method: local}}\n" for name, entrypoint in ENTRYPOINTS.items()
    )
    files = {
        "config.yaml": config
        + "  without_entrypoint: {method: local}\n  serves: {entrypoint: 'a:b', method: restapi}\n",
        "plugin/acts.py": ACTIONS,
        "plugin/unimportable.py": "import plugin.acts\nimport library_not_installed\n",
        "plugin/unparseable.py": "x = 1\ndef go(:\n",
    }
    write_files(plugins / "acts", files)
    with edges_agent.client() as client:
        client.create_plugin_release("acts", "1.0.0")
        client.run_plugin_release("acts@1.0.0", "reads", params={"path": "x"})  # makes the empty environment
        settle()
        yield "acts@1.0.0"
        client.delete_plugin_release("acts@1.0.0")
    settle()


@pytest.fixture
def run(facade, ledger, acts):
    """Run an action that should succeed, and return its result."""

    def run(action, job_id=None, **params):
        ledger.expect(jobs=1)
        return facade.run_plugin_release(acts, action, params, job_id=job_id)

    return run


@pytest.fixture
def fail(facade, ledger, acts):
    """Run an action that should fail, and return the error."""

    def fail(action, **params):
        ledger.expect(jobs=1)
        return facade.error("run_plugin_release", acts, action, params)

    return fail


@pytest.fixture
def log(http):
    """Return the log of the newest job."""

    def read():
        job = http.get("/jobs/", params={"limit": 1}).json()[0]
        return http.get(f"/jobs/{job['job_id']}/logs/").raise_for_status().text

    return read


def test_an_unknown_action_is_answered_with_those_there_are(facade, acts):
    """The answer is 422, and no job is recorded."""
    error = facade.error("run_plugin_release", acts, "trian")
    assert (type(error), error.error_type, error.outcome) == (ValidationError, "unknown_action", "rejected")
    assert error.message.startswith("acts has no action 'trian'. Available: exits, exits_with_words, fails, forks, ")


def test_an_action_without_entrypoint_or_of_another_kind_is_refused(facade, acts):
    """The answer is 422, with the key or the methods that this agent runs; no job is recorded."""
    error = facade.error("run_plugin_release", acts, "without_entrypoint")
    assert error.error_type == "invalid_plugin"
    assert "`actions.without_entrypoint.entrypoint` is missing" in error.message
    error = facade.error("run_plugin_release", acts, "serves")
    assert error.error_type == "method_not_supported"
    assert error.message == (
        "action 'serves' has method 'restapi', which this agent does not support. Supported: local, task, job, serve"
    )


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("without_module", "module 'plugin.absent' was not found in the plugin or its environment"),
        ("without_function", "'plugin.acts' has no 'absent'; it has exits, exits_with_words, fails, "),
        ("misspelt", "it must be of the form 'package.module:attribute'"),
    ],
)
def test_an_entrypoint_that_is_not_there_is_named(fail, action, said):
    """The answer is 422, and the action did not run."""
    error = fail(action)
    assert (type(error), error.error_type, error.outcome) == (ValidationError, "entrypoint_not_found", "rejected")
    assert error.message.startswith(f"entrypoint '{ENTRYPOINTS[action]}': {said}")


def test_an_entrypoint_that_does_not_import_shows_the_plugins_own_traceback(fail):
    """It begins in the plugin's file, not in the agent."""
    error = fail("unimportable")
    assert type(error) is ActionFailedError
    assert error.message == (
        "ModuleNotFoundError: No module named 'library_not_installed'. Add library-not-installed to "
        "requirements.txt, or pass requirements=['library-not-installed']."
    )
    assert error.traceback == (
        "Traceback (most recent call last):\n"
        '  File "plugin/unimportable.py", line 2, in <module>\n'
        "    import library_not_installed\n"
        "ModuleNotFoundError: No module named 'library_not_installed'\n"
    )


def test_a_syntax_error_names_file_and_line(fail):
    """The path is the one in the plugin's folder, not the agent's copy."""
    error = fail("unparseable")
    assert error.message == "SyntaxError: invalid syntax (unparseable.py, line 2)"
    assert error.traceback.startswith('  File "plugin/unparseable.py", line 2\n    def go(:\n')


@pytest.mark.parametrize(
    ("params", "said", "loc"),
    [
        ({}, "'path' is missing", "path"),
        ({"path": "x", "lnies": 3}, "'lnies' is unexpected", "lnies"),
    ],
)
def test_params_that_do_not_fit_name_the_parameter(fail, params, said, loc):
    """The answer is 422, with the parameters of the action."""
    error = fail("reads", **params)
    assert (type(error), error.error_type, error.outcome) == (ValidationError, "invalid_params", "rejected")
    assert error.message == f"The params do not fit the action: {said}. It takes (path, lines=10)."
    assert error.detail["detail"]["errors"][0]["loc"] == ["params", loc]


def test_params_that_are_no_object_are_refused(facade, acts):
    """The client refuses them before it sends anything; the agent refuses them in a legacy payload."""
    with pytest.raises(TypeError, match=r"^params must be a mapping, not list\.$"):
        facade.run_plugin_release(acts, "reads", ["x"])
    error = facade.error("run_plugin_release", acts, data={"action": "reads", "params": ["x"]})
    assert (type(error), error.status_code, error.outcome) == (ValidationError, 422, "rejected")
    assert error.message == "body.params: Input should be a valid dictionary"
    assert error.detail["detail"][0]["input"] == ["x"]


def test_an_action_that_raises_is_reported_completely(fail):
    """The error has type, message, traceback and job ID."""
    error = fail("fails")
    assert (type(error), error.status_code, error.outcome) == (ActionFailedError, 500, "executed")
    assert (error.exception_type, error.exception_message) == ("ValueError", "the file is empty")
    assert error.message == "ValueError: the file is empty"
    assert re.search(r'File "plugin/acts\.py", line \d+, in fails\n +raise ValueError', error.traceback)
    assert error.job_id


@pytest.mark.parametrize(
    ("action", "error_type", "message", "facts"),
    [
        (
            "leaves",
            "action_exited",
            "The action exited with code 3 instead of returning a result.",
            {"exit_code": 3},
        ),
        (
            "exits",
            "action_exited",
            "The action exited with code 0 instead of returning a result.",
            {"exit_code": 0},
        ),
        ("kills_itself", "action_killed", "The action was killed by SIGKILL.", {"signal": "SIGKILL"}),
        (
            "recurses_in_c",
            "action_killed",
            "The action was killed by SIGSEGV: its native code accessed invalid memory, or recursed infinitely.",
            {"signal": "SIGSEGV"},
        ),
    ],
)
def test_an_action_without_a_result_is_reported_by_its_end(fail, action, error_type, message, facts):
    """The answer is 500, and the outcome shows that the action ran."""
    error = fail(action)
    assert (type(error), error.status_code, error.outcome) == (ServerError, 500, "executed")
    assert (error.error_type, error.message) == (error_type, message)
    assert facts.items() <= error.detail["detail"].items()
    assert error.detail["detail"]["job_id"]


@pytest.mark.parametrize(
    ("action", "where"),
    [
        ("returns_object", "$.found[1][0] is of type type"),
        ("returns_cycle", "$['best of'][0] contains itself"),
        ("returns_keys", "$.best has the keys 1 and '1', which are both written as '1'"),
    ],
)
def test_a_result_that_json_does_not_have_names_its_place(fail, ledger, action, where):
    """The answer is 500; the `repr` of the result is a file of the job."""
    ledger.expect(job_folders=1)
    error = fail(action)
    assert error.error_type == "result_not_serializable"
    said = f"The action's result cannot be written as JSON: {where}. Its repr is in the job's file 'result.repr.txt'."
    assert error.message == said
    assert where.startswith(error.detail["detail"]["path"])


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ("recurses", r"RecursionError: maximum recursion depth exceeded.*"),
        ("raises_what_cannot_be_shown", r".*Unspeakable: \(its message cannot be shown\)"),
        ("raises_at_length", r"ValueError: m+\n\.\.\. \d+ characters omitted \.\.\.\nm+"),
    ],
)
def test_an_exception_of_any_size_and_kind_makes_a_message(fail, action, message):
    """The message has a limited length, and a traceback."""
    error = fail(action)
    assert type(error) is ActionFailedError
    assert re.fullmatch(message, error.message)
    assert len(error.message) < 20_000
    assert len(error.traceback) < 50_000


@pytest.mark.parametrize(
    ("action", "result", "printed"),
    [
        ("prints_megabytes", "printed", "1999 xxx"),
        ("prints_one_line", "printed", "yyyyyyyyyy"),
        ("warns", "warned", "UserWarning: this is the old way"),
        ("prints_bytes", "printed", "caf\ufffd \ufffd\ufffd\n\\udcff\n"),
    ],
)
def test_output_of_any_kind_is_the_log_and_no_part_of_the_result(run, log, ledger, action, result, printed):
    """Output may have any size and encoding, and no newlines."""
    ledger.expect(job_folders=1)
    assert run(action) == result
    assert printed in log()


def test_words_at_exit_are_in_the_log(fail, log, ledger):
    """`sys.exit("...")` prints the reason into the log."""
    ledger.expect(job_folders=1)
    error = fail("exits_with_words")
    assert error.message == "The action exited with code 1 instead of returning a result."
    assert log() == "no licence\n"


def test_an_action_that_asks_for_input_gets_none(fail):
    """Its stdin is empty, so that it does not wait forever."""
    assert fail("waits_for_input").message == "EOFError: EOF when reading a line"


@pytest.mark.parametrize(
    ("action", "result"), [("writes_everywhere", "true"), ("forks", "parent"), ("starts_threads", "started")]
)
def test_what_an_action_starts_or_writes_changes_nothing(run, action, result):
    """The result is unaffected, and no process outlives the run: the ledger counts them."""
    assert run(action) == result


def test_a_large_result_arrives_whole(run, ledger):
    """The agent keeps the 50 MB in a file beside the database."""
    ledger.expect(job_folders=1)
    assert run("returns_50_mb") == "z" * 50_000_000


def test_the_agent_answers_on_after_a_run_was_killed(run, fail):
    """The next run of the same release works."""
    assert fail("kills_itself").detail["detail"]["signal"] == signal.SIGKILL.name
    assert run("reads", path="x") == 10


def test_an_action_that_locks_its_environment_blocks_no_other_run(edges_agent, make_facade, plugins):
    """A run can't lock the environment, or the files beside it, which the agent needs."""
    code = (
        "import fcntl, glob, os, time\n"
        "def lock(path):\n"
        "    home = os.environ['VIRTUAL_ENV']\n"
        "    found = [home, *glob.glob(home + '/*'), *glob.glob(home + '/../*'), *glob.glob(home + '/../../locks/*')]\n"
        "    files = [os.open(each, os.O_RDONLY) for each in found if os.access(each, os.R_OK)]\n"
        "    for file in files:\n"
        "        try: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "        except OSError: pass\n"
        "    open(path, 'w').close()\n"
        "    time.sleep(100)\n"
        "def go():\n"
        "    return 1\n"
    )
    actions = {"lock": {"entrypoint": "m:lock", "method": "job"}, "go": {"entrypoint": "m:go"}}
    source = {"modules": {"m": code}, "config": {"actions": actions}}
    facade = make_facade(edges_agent.base_url, edges_agent.token, timeout=30)
    begun = plugins.parent / "locked"
    begun.unlink(missing_ok=True)
    job = facade.run_debug_plugin_release("lock", params={"path": str(begun)}, **source)["job_id"]
    try:
        until(begun.exists)
        assert facade.run_debug_plugin_release("go", **source) == 1
    finally:
        facade.stop_job(job)


def test_nan_in_a_result_is_null_and_recorded(run, facade):
    """The record and the list of jobs have the path of the value."""
    job_id = uuid4().hex
    assert run("returns_nan", job_id=job_id) == {"losses": [0.5, None]}
    nonfinite = {"count": 1, "places": [{"path": "$.losses[1]", "value": "NaN"}]}
    assert facade.get_job(job_id)["nonfinite"] == facade.list_jobs(limit=1)[0]["nonfinite"] == nonfinite


def test_no_report_ends_an_action(run, facade, ledger):
    """Invalid values don't, nor does a closed stdout."""
    job_id = uuid4().hex
    ledger.expect(job_folders=1)
    assert run("reports_anything", job_id=job_id) == "done"
    job = facade.get_job(job_id)
    assert job["progress"] == {"current": None, "total": None}
    metrics, long, late = job["events"]
    assert metrics["data"] == {"loss": None, "model": "<class 'object'>"}
    assert metrics["nonfinite"]["places"] == [{"path": "$.data.loss", "value": "NaN"}]
    assert (long["event"], long["left_out"]) == (
        "None",
        "This is the beginning of 100041 bytes; the limit for an event is 60000.",
    )
    assert late["data"] == 1
    assert "set_progress: current must be a number, not 'half'" in facade.get_job_logs(job_id)
