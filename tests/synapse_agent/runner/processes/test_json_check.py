"""Results, checked before the agent passes them on."""

from __future__ import annotations

import pytest

from synapse_agent.problems import Problem
from synapse_agent.runner.processes.commands import Commands
from synapse_agent.runner.processes.json_check import check_result
from synapse_agent.runner.processes.sandbox import probed
from synapse_agent.runner.processes.zygote_pool import ZygotePool
from synapse_agent.storage.scratch import Scratch

pytestmark = pytest.mark.anyio

LARGE = b'[{"a": [1, 2.5, "\xc3\xa4", null, true]}, %b' % (b'"x", ' * 300_000)


@pytest.fixture
async def commands(tmp_path):
    """Return an object that starts programs, with a sandbox if the kernel has one."""
    scratch = Scratch(tmp_path / "scratch")
    zygotes = ZygotePool(scratch, limit=1)
    yield Commands(zygotes, folder=tmp_path, sandbox=probed(wanted=True))
    await zygotes.close()
    scratch.close()


@pytest.mark.parametrize("result", [b"1", b'"x"', b"null", b"1e999", b" [1] ", LARGE + b"0]"])
async def test_json_passes(commands, result):
    """The agent checks small results itself, large ones in a process."""
    await check_result(commands, result, job_id="job")


@pytest.mark.parametrize(
    "result", [b"", b"{", b"NaN", b"1,2", b"\xff", '"x"'.encode("utf-16"), b"\xef\xbb\xbf1", LARGE, LARGE + b"NaN]"]
)
async def test_what_is_no_json_is_refused(commands, result):
    """This covers small and large results, and what only Python accepts as JSON."""
    with pytest.raises(Problem, match=r"cannot be written as JSON: it is not JSON\.$") as caught:
        await check_result(commands, result, job_id="job")
    assert (caught.value.status, caught.value.error_type) == (500, "result_not_serializable")


@pytest.mark.parametrize("depth", [501, 5000, 1_000_000])
async def test_what_is_nested_too_deeply_is_refused(commands, depth):
    """Newer Pythons write deeper values than this one, and a caller's, can parse."""
    with pytest.raises(Problem, match=r"\$ is nested more than 500 levels deep\.$"):
        await check_result(commands, b"[" * depth + b"]" * depth, job_id="job")


@pytest.mark.parametrize("result", [b"[" * 500 + b"]" * 500, b"[" + b"[], " * 1000 + b"{}]", b'["%s"]' % (b"[" * 1000)])
async def test_breadth_and_text_are_not_depth(commands, result):
    """Only levels count, not lists side by side, or brackets in strings with and without escaped quotes."""
    await check_result(commands, result, job_id="job")
    await check_result(commands, b'["\\"", %s]' % result[1:-1], job_id="job")


async def test_a_result_is_not_lost_for_lack_of_a_process(commands, caplog, monkeypatch):
    """The agent then checks it in its own process, which is slow."""

    async def run(*_, **__):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(commands, "run", run)
    await check_result(commands, LARGE + b"0]", job_id="job")
    assert "is checked inside the agent" in caplog.text
