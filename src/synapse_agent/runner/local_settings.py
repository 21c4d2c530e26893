"""The local runner and its sandbox, as the settings describe them."""

from __future__ import annotations

import os

from synapse_agent.errors import StartError
from synapse_agent.files.lasting import LastingFolders
from synapse_agent.plugins.requirements import RequirementRules
from synapse_agent.runner.environments.pip_config import index_environ
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.lasting_keepers import LastingKeepers
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.run_cgroups import run_cgroups
from synapse_agent.runner.processes.sandbox import LEVELS, SandboxPolicy, namespaces_missing, probed
from synapse_agent.settings import Settings
from synapse_agent.storage.eviction import CacheBounds
from synapse_agent.util.changes import Changes
from synapse_agent.util.cpus import usable_cpus
from synapse_agent.util.open_files import limit_of_runs

_MOST_PROCESSES, _MOST_PROCESSES_A_CPU = 4096, 1024
"""Default limit of the processes and threads of a release's runs: libraries start some for each CPU."""


def local_runner(
    settings: Settings, changes: Changes | None = None, *, lasting_runs: LastingKeepers | None = None
) -> LocalRunner:
    """Create the runner of this machine, for the agent or for a node of a cluster."""
    sandbox = sandbox_of(settings)
    processes = settings.max_processes or max(_MOST_PROCESSES, _MOST_PROCESSES_A_CPU * usable_cpus())
    limits = RunLimits(
        cpu_time=settings.max_cpu_seconds,
        memory=settings.max_memory,
        file_size=settings.max_file_size,
        open_files=limit_of_runs(),
        processes=processes if sandbox.namespaces else settings.max_processes,  # else it counts all of the user's
        grace=settings.grace,
    )
    return LocalRunner(
        settings.data_dir,
        changes=changes,
        lasting_runs=lasting_runs,
        limits=limits,
        pythons=settings.pythons,
        max_zygotes=settings.max_zygotes,
        max_warm_memory=settings.warm_memory,
        bounds=CacheBounds(count=settings.max_environments, size=settings.max_environments_bytes, spare_newest=True),
        sandbox=sandbox,
        cgroups=run_cgroups(settings.data_dir, processes=processes),
        most_processes=processes,
        rules=RequirementRules(urls=settings.allow_requirement_urls),
        lasting=LastingFolders(settings.data_dir, storage_dir=settings.storage_dir, cache_dir=settings.cache_dir),
        most_stored=settings.max_storage_bytes,
        most_cached=settings.max_cache_bytes,
        hides_gpus=settings.gpus is not None,
        environ={**os.environ, **index_environ(settings.index_url, settings.extra_index_urls)},
    )


def sandbox_of(settings: Settings) -> SandboxPolicy:
    """Return this machine's sandbox for the settings; raise `StartError` if it is weaker than required."""
    sandbox = probed(wanted=settings.sandbox, allow_write=settings.allow_write)
    required = settings.require_isolation
    if required is None:
        return sandbox
    if required not in LEVELS:
        raise StartError(f"--require-isolation {required}: unknown level. Levels: {', '.join(LEVELS)}.")
    if LEVELS.index(sandbox.level) < LEVELS.index(required):
        why = namespaces_missing() if sandbox.level == "landlock" else f"the sandbox is {sandbox.status}"
        raise StartError(
            f"--require-isolation {required}: this machine isolates runs by {sandbox.level} only ({why})."
            " `synapse-agent doctor` and docs/guides/security.md list what it needs."
        )
    return sandbox
