"""The runners that an agent can use."""

from __future__ import annotations

from synapse_agent.runner.base import Runner
from synapse_agent.runner.local_settings import local_runner
from synapse_agent.runner.processes.lasting_keepers import KEEPERS, LastingKeepers
from synapse_agent.settings import Settings
from synapse_agent.util.changes import Changes


async def make_runner(settings: Settings, changes: Changes | None = None) -> Runner:
    """Create the runner of the settings; raise `StartError` if it cannot work."""
    if settings.runner == "ray":
        from synapse_agent.runner.ray_cluster.agent_side.runner import RayRunner  # rarely needed

        return await RayRunner.connected(settings)
    limit = settings.orphan_limit
    lasting = None if limit is None else LastingKeepers(settings.data_dir.absolute() / KEEPERS, orphan_limit=limit)
    return local_runner(settings, changes, lasting_runs=lasting)
