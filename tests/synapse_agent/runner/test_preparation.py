"""What an action finds when it starts: its folder, its variables, and its release as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synapse_agent.runner.local import LocalRunner

pytestmark = pytest.mark.anyio


async def test_an_action_finds_its_surroundings(runner, write_plugin):
    """The action has its folder, variables, job and language, and none of the agent's own variables."""
    source = """
        import os, sys

        def act(context):
            names = ["SYNAPSE_JOB_ID", "SYNAPSE_LANGUAGE", "GREETING", "HOME", "TMPDIR"]
            said = {name: os.environ.get(name) for name in names}
            said |= {"cwd": os.getcwd(), "path": sys.path[0], "stdin": sys.stdin.read(), "all": sorted(os.environ)}
            return said | {"context": [context.job_id, context.language, context.env["GREETING"]]}
        """
    plugin = write_plugin(source, env={"GREETING": "hi", "COUNT": 3})
    run = plugin.prepared({}, language="ko")
    found = json.loads(await runner.run(run, plugin.heard))
    assert (found["SYNAPSE_JOB_ID"], found["SYNAPSE_LANGUAGE"], found["GREETING"]) == (run.job_id, "ko", "hi")
    assert found["cwd"] == found["path"] == str(plugin.folder)
    assert found["HOME"] == found["TMPDIR"] != str(Path.home())
    assert found["stdin"] == ""
    assert found["context"] == [run.job_id, "ko", "hi"]
    assert not {"PYTHONPATH", "PYTEST_CURRENT_TEST"} & set(found["all"])


async def test_secrets_of_the_agent_reach_no_action(data_dir, write_plugin):
    """Only variables on a short list are passed, whatever the names of the others."""
    environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "SYNAPSE_AGENT_TOKEN": "s3cret", "MY_KEY": "s3cret"}
    runner = LocalRunner(data_dir, environ=environ)
    found = await write_plugin("import os\n\ndef act():\n    return dict(os.environ)\n").run(runner)
    await runner.close()
    assert found["LC_ALL"] == "C.UTF-8"
    assert "s3cret" not in found.values()


async def test_the_release_stays_as_it_was(runner, write_plugin):
    """Neither a run nor a Python that it starts writes compiled code into it."""
    source = """
        import subprocess, sys

        def act():
            subprocess.run([sys.executable, "-c", "import plugin.main"], check=True)
        """
    plugin = write_plugin(source)
    await plugin.run(runner)
    assert sorted(path.name for path in plugin.folder.rglob("*")) == ["main.py", "plugin"]


async def test_a_process_that_can_t_be_prepared_is_no_end_of_the_action(runner, write_plugin):
    """If the plugin's folder is missing, nothing ran: the answer is 503."""
    plugin = write_plugin("def act():\n    return 1\n")
    assert await plugin.run(runner) == 1
    plugin.folder.rename(plugin.folder.with_name("gone"))
    problem = await plugin.problem(runner)
    assert (problem.status, problem.error_type) == (503, "unavailable")
    assert "could not be prepared" in problem.message
