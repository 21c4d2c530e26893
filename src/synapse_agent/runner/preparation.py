"""What a run needs before its process starts: an environment, a storage, imports and a request."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from synapse_agent.files.lasting import PluginFolders, PluginStorage
from synapse_agent.plugins.config import Action, PluginConfig
from synapse_agent.plugins.project import (
    read_requirements,
    release_python,
    release_requirements,
    requires_python,
)
from synapse_agent.plugins.requirements import RequirementRules, check_requirements
from synapse_agent.runner.base import Run
from synapse_agent.runner.environments.bytecode import BytecodeCompiler
from synapse_agent.runner.environments.pool import Environment, Environments
from synapse_agent.runner.processes.environ import resolved
from synapse_agent.runner.processes.import_report import ImportReport
from synapse_agent.runner.processes.keeper import NO_IMPORTS, ImportPlan, KeeperProcess, ZygoteSpec
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.sandbox import SandboxPolicy
from synapse_agent.runner.processes.seen_imports import SeenImports
from synapse_agent.runner.processes.temporary_files import temporary_files
from synapse_agent.runner.processes.zygote_pool import ZygotePool
from synapse_agent.runner.resources.gpus import HIDDEN
from synapse_agent.runner.resources.scheduler import THREAD_VARIABLES, Allocation, thread_variables
from synapse_agent.runner.serving.workers import Prepared, Residence
from synapse_agent.util.sizes import show_size


class Preparation:
    """Prepares the processes of runs."""

    def __init__(
        self,
        data_dir: Path,
        *,
        environments: Environments,
        storage: PluginStorage,
        bytecode: BytecodeCompiler,
        seen: SeenImports,
        zygotes: ZygotePool,
        sandbox: SandboxPolicy,
        rules: RequirementRules,
        environ: Mapping[str, str],
        hides_gpus: bool,
        most_processes: int,
        outlives: bool,
        look: Callable[[Run], Awaitable[None]],
    ) -> None:
        """For `environ`, `hides_gpus` and `most_processes` see `LocalRunner`; jobs outlive the agent if `outlives`.

        `look` executes a run that only imports, to find what to import ahead.
        """
        self._data_dir = data_dir
        self._environments = environments
        self._storage = storage
        self._bytecode = bytecode
        self._seen = seen
        self._zygotes = zygotes
        self._sandbox = sandbox
        self._rules = rules
        self._path = environ.get("PATH", os.defpath)
        self._fixed_threads = THREAD_VARIABLES & environ.keys()
        self._unseen = HIDDEN if hides_gpus else {}
        self._most_processes = most_processes
        self._outlives = outlives
        self._look = look
        self._debug_folder = data_dir / "debug"
        """The folder of each debug run's code, as the run sees it."""
        self._debug_folder.mkdir(exist_ok=True)

    @asynccontextmanager
    async def prepared(
        self,
        run: Run,
        limits: RunLimits,
        on_output: Callable[[bytes], None],
        turn: Residence,
    ) -> AsyncIterator[Prepared]:
        """Yield what starts a run's process: its environment, a keeper and the request."""
        begun = time.monotonic()
        async with self.environment(run, on_output) as environment:
            seconds = time.monotonic() - begun
            async with (
                turn() as allocation,
                self._storage.use(run.config.code, is_debug=run.release is None) as folders,
            ):
                if folders.is_full and not run.warms:
                    on_output(_full_storage(run.config.code, folders.stored))
                if self._looks_first(run, environment):
                    await self._look(run)
                place = _Place(environment, folders, allocation)
                known = self._env(run, place)
                shared, own_env = resolved(run.config.env, known)
                async with self._keeper(run, place, {**known, **shared, **run.env, **self._unseen}) as keeper:
                    self._bytecode.begin(environment.folder, None if run.release is None else run.folder)
                    action = run.config.action(run.action)
                    request = _request(run, action, limits, allocation, own_env, folder=self._folder_seen(run))
                    if self._sandbox.namespaces:
                        brought = [(request["folder"], str(run.folder))] if request["brings_folder"] else []
                        request["shown"] = brought + temporary_files(run.params.text, hidden=self._data_dir)
                    folder = environment.folder
                    told = partial(self._bytecode.told, folder)
                    yield Prepared(keeper, request, folder, told, seconds, allocation)

    def environment(self, run: Run, on_output: Callable[[bytes], None]) -> AbstractAsyncContextManager[Environment]:
        """Return the environment of a run, to be made if missing."""
        is_kept = run.release is not None  # a release's folder never changes
        own = (release_requirements if is_kept else read_requirements)(run.folder, self._rules)
        requirements = (*own, *check_requirements(run.requirements, self._rules))
        python = run.config.requires_python or (release_python if is_kept else requires_python)(run.folder)
        return self._environments.use(requirements, requires_python=python, on_output=on_output)

    def learn(self, run: Run, environment: Path, report: ImportReport) -> None:
        """Remember what a run has imported, for the imports ahead of later ones."""
        if report.modules and (run.config.preload is None or run.release is None):
            self._seen.add(self._place_of(run), environment, report)

    def _looks_first(self, run: Run, environment: Environment) -> bool:
        """Return whether to find the imports of the release before preparing its process."""
        is_known = run.config.preload is not None or self._seen.modules(run.folder, environment.folder)
        return run.warms and not is_known

    def _keeper(self, run: Run, place: _Place, env: Mapping[str, str]) -> AbstractAsyncContextManager[KeeperProcess]:
        folders = place.folders
        spec = ZygoteSpec(
            place.environment.base,
            place.environment.folder,
            self._place_of(run),
            self._bytecode.folder,
            writable=self._sandbox.around([*self._sandbox.shared_temporary(self._data_dir), *folders.writable]),
            readable=(folders.storage,),
            namespaces=self._sandbox.namespaces,
            processes=self._most_processes,
            covered=self._sandbox.covering(self._data_dir),
            identity=(*folders.identity, *self._debug_identity(run)),
            env=tuple(sorted(env.items())),
            imports=self._imports(run, place.environment),
            outlives=self._outlives and run.config.action(run.action).method == "job" and not run.describes,
        )
        return self._zygotes.use(spec, as_specified=run.warms)

    def _place_of(self, run: Run) -> Path:
        """Return the identity of a run's code for its zygote: debug runs share one."""
        return self._debug_folder if run.release is None else run.folder

    def _debug_identity(self, run: Run) -> tuple[int, ...]:
        """Return the inode of the folder at which debug runs see their code; a new folder needs a new zygote."""
        if run.release is not None:
            return ()
        try:
            return (os.stat(self._debug_folder).st_ino,)  # noqa: PTH116 - several times as fast
        except FileNotFoundError:
            self._debug_folder.mkdir(exist_ok=True)
            return self._debug_identity(run)

    def _folder_seen(self, run: Run) -> Path:
        """Return the path at which a run sees its code: uploaded code is always mounted at the same path."""
        return self._place_of(run) if self._sandbox.namespaces else run.folder

    def _imports(self, run: Run, environment: Environment) -> ImportPlan:
        preload, seen = run.config.preload, self._seen.modules(self._place_of(run), environment.folder)
        if preload is False:
            return NO_IMPORTS
        if run.release is None:  # its own modules change
            named = preload if isinstance(preload, tuple) else ()
            return ImportPlan((*seen, *(each for each in named if each not in seen and not _has(run.folder, each))))
        if preload is True:
            actions = [each for each in run.config.actions.values() if each.can_run]
            return ImportPlan(entrypoints=tuple(dict.fromkeys(each.entrypoint for each in actions)))
        if isinstance(preload, tuple):
            return ImportPlan(modules=preload)
        return ImportPlan(seen)

    def _env(self, run: Run, place: _Place) -> dict[str, str]:
        """Return the variables that a run's imports already see, except the plugin's own."""
        folder = place.environment.folder
        return {
            "PATH": f"{folder}/bin{os.pathsep}{self._path}",
            "VIRTUAL_ENV": str(folder),
            "PYTHONPYCACHEPREFIX": str(self._bytecode.folder),  # for Python processes that the action starts
            "PYTHONDONTWRITEBYTECODE": "1",
            **place.folders.env,
            **self._own_threads(thread_variables(run.request.wanted)),
            **run.env,
        }

    def _own_threads(self, env: Mapping[str, str]) -> dict[str, str]:
        """Remove the thread counts from a run's variables if the operator has set them for all runs."""
        return {name: value for name, value in env.items() if name not in self._fixed_threads}


@dataclass(frozen=True, slots=True)
class _Place:
    """What a run needs before it starts."""

    environment: Environment
    folders: PluginFolders
    allocation: Allocation | None


def _full_storage(code: str, stored: int) -> bytes:
    """Return the line for a run's log that explains why it can't write to the storage."""
    return (
        f"... the storage of plugin {code!r} has {show_size(stored)}, more than --max-storage-size allows: this run"
        f" can only read it. 'synapse-agent storage clear' frees space ...\n"
    ).encode()


def _has(folder: Path, module: str) -> bool:
    """Return whether a module is the plugin's own."""
    top = module.partition(".")[0]
    return any((place / top).is_dir() or (place / f"{top}.py").is_file() for place in (folder, folder / "src"))


def _request(
    run: Run,
    action: Action,
    limits: RunLimits,
    allocation: Allocation | None,
    plugin_env: Mapping[str, str],
    *,
    folder: Path,
) -> dict[str, Any]:
    """Serialize the request that `synapse_worker.run` reads; `plugin_env` has the variables with per-run references."""
    language = {} if run.language is None else {"SYNAPSE_LANGUAGE": run.language}
    gpus = {} if allocation is None else allocation.env
    return {
        "entrypoint": action.entrypoint,
        "action": action.name,
        "job_id": run.job_id,
        "language": run.language,
        "folder": str(folder),
        "brings_folder": run.release is None,
        "env": {**gpus, **language, "SYNAPSE_JOB_ID": run.job_id},
        "plugin_env": {name: value for name, value in plugin_env.items() if name not in run.env},
        "limits": limits.resources,
        "writable": [],
        "shown": [],
        "inputs": [(file.id, file.name, str(path)) for file, path in run.files.items()],
        "result_bytes": limits.result_bytes,
        "served": action.is_served,
        **(_description(run.config) if run.describes else {}),
    }


def _description(config: PluginConfig) -> dict[str, Any]:
    actions = config.actions.values()
    return {
        "describe": {each.name: each.entrypoint for each in actions},
        "describe_served": [each.name for each in actions if each.is_served],
    }
