"""The runners that an agent can be told to use."""

from __future__ import annotations

import os

from synapse_agent.plugins.requirements import RequirementRules
from synapse_agent.runner.base import Runner
from synapse_agent.runner.environments.eviction import CacheBounds
from synapse_agent.runner.environments.pip_config import index_environ
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.sandbox import SandboxPolicy, probed
from synapse_agent.settings import Settings


async def make_runner(settings: Settings) -> Runner:
    """Make the runner that the settings name; `StartError` where it cannot work."""
    if settings.runner == "ray":
        from synapse_agent.runner.ray_cluster.agent_side.runner import RayRunner  # what most agents don't need

        return await RayRunner.connected(settings)
    return local_runner(settings)


def local_runner(settings: Settings) -> LocalRunner:
    """Make the runner of this machine: the agent's own, or that of a cluster's node."""
    limits = RunLimits(
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
        bounds=CacheBounds(count=settings.max_environments, size=settings.max_environments_bytes, spare_newest=True),
        sandbox=sandbox_of(settings),
        rules=RequirementRules(urls=settings.allow_requirement_urls),
        environ={**os.environ, **index_environ(settings.index_url, settings.extra_index_urls)},
    )


def sandbox_of(settings: Settings) -> SandboxPolicy:
    """Give the sandbox that this machine offers for what was asked."""
    return probed(wanted=settings.sandbox, allow_write=settings.allow_write)
