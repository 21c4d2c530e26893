"""The runners that an agent can be told to use."""

from __future__ import annotations

from synapse_agent.runner.base import Runner
from synapse_agent.runner.environments.eviction import Bounds
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.limits import Limits
from synapse_agent.runner.processes.sandbox import Sandbox, probed
from synapse_agent.settings import Settings


async def make_runner(settings: Settings) -> Runner:
    """Make the runner that the settings name; `StartError` where it cannot work."""
    if settings.runner == "ray":
        from synapse_agent.runner.ray_cluster.agent_side.runner import RayRunner  # what most agents don't need

        return await RayRunner.connected(settings)
    return local_runner(settings)


def local_runner(settings: Settings) -> LocalRunner:
    """Make the runner of this machine: the agent's own, or that of a cluster's node."""
    limits = Limits(
        cpu_time=settings.max_cpu_seconds,
        memory=settings.max_memory,
        file_size=settings.max_file_size,
        processes=settings.max_processes,
        grace=settings.grace,
    )
    return LocalRunner(
        settings.data_dir,
        limits=limits,
        pythons=settings.pythons,
        max_zygotes=settings.max_zygotes,
        bounds=Bounds(count=settings.max_environments, size=settings.max_environments_bytes, spare_newest=True),
        sandbox=sandbox_of(settings),
    )


def sandbox_of(settings: Settings) -> Sandbox:
    """Give the sandbox that this machine offers for what was asked."""
    return probed(wanted=settings.sandbox, allow_write=settings.allow_write)
