"""The agent's own programs, run like actions: sandboxed, bounded, and ended with the agent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from synapse_agent.runner.processes.execution import Execution, ProcessExit
from synapse_agent.runner.processes.keeper import ZygoteSpec
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.sandbox import SandboxPolicy
from synapse_agent.runner.processes.zygote_pool import ZygotePool


class Commands:
    """Starts programs from a zygote of the agent's own Python."""

    def __init__(self, zygotes: ZygotePool, *, folder: Path, sandbox: SandboxPolicy) -> None:
        """`folder` identifies their zygote among the others; nothing is imported from it."""
        self._zygotes = zygotes
        python = Path(getattr(sys, "_base_executable", None) or sys.executable)
        writable = sandbox.around([])
        self._spec = ZygoteSpec(python, None, folder, folder, writable=writable, namespaces=sandbox.namespaces)

    async def run(
        self,
        command: Sequence[str],
        *,
        limits: RunLimits,
        on_output: Callable[[bytes], None],
        env: Mapping[str, str] | None = None,
        writable: Sequence[Path] = (),
        stdin: bytes = b"",
        in_background: bool = False,
    ) -> ProcessExit:
        """Run a program, which may write to the `writable` paths only; `in_background` if it may wait for others.

        Raises `ZygoteLost`, or an `OSError` for lack of resources, if it could not be started.
        """
        request = {
            "command": list(command),
            "env": dict(env or {}),
            "folder": "/",
            "in_background": in_background,
            "limits": limits.resources,
            "writable": [str(path) for path in writable],
            "shown": [],
            "inputs": [],
        }
        async with self._zygotes.use(self._spec) as keeper:
            return await Execution(keeper, limits, on_output=on_output).run(request, stdin)
