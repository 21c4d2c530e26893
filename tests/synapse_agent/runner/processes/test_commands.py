"""The agent's own programs, run like actions."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from synapse_agent.runner.processes.commands import Commands
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.sandbox import probed
from synapse_agent.runner.processes.zygote_pool import ZygotePool
from synapse_agent.storage.scratch import Scratch

pytestmark = pytest.mark.anyio

PRIORITY = """
import os
print(os.getpriority(os.PRIO_PROCESS, 0))
if os.path.exists("/proc/self/autogroup"):
    print(open("/proc/self/autogroup").read().split()[-1])
"""


async def test_only_a_program_in_the_background_yields_to_others(tmp_path: Path) -> None:
    """Its share is small beside processes of other sessions too, for which the kernel ignores `nice`."""
    scratch = Scratch(tmp_path / "scratch")
    zygotes = ZygotePool(scratch, limit=1)
    commands = Commands(zygotes, folder=tmp_path, sandbox=probed(wanted=True))
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    for in_background, expected in ((False, nice), (True, min(nice + 5, 19))):
        output = bytearray()
        command = [sys.executable, "-I", "-c", PRIORITY]
        ending = await commands.run(command, limits=RunLimits(), on_output=output.extend, in_background=in_background)
        assert ending.status == 0
        found, *share = map(int, output.split())
        assert found == expected
        assert share in ([[], [0], [5]] if in_background else [[], [0]])  # the kernel may refuse too many changes
    await zygotes.close()
    scratch.close()
