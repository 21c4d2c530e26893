"""The keepers of one data folder that outlive its agent, and the runs that they keep."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from synapse_agent.runner.processes.keeper import KeeperProcess
from synapse_agent.runner.processes.keeper_folder import KeeperFolder
from synapse_agent.runner.processes.kept_execution import KeptExecution
from synapse_agent.runner.processes.kept_run import KeptRun, is_alive, keeper_folders, run_folders
from synapse_agent.runner.processes.left_keeper import LeftKeeper
from synapse_agent.storage.trees import remove_tree

KEEPERS = "keepers"
"""The folder of the keepers, beside the lock of the agent that they belong to."""


class LastingKeepers:
    """Creates their folders, finds those of an earlier agent, and removes collected ones."""

    def __init__(self, folder: Path, *, orphan_limit: float, lifeline: int | None = None) -> None:
        """A keeper ends its runs and itself if no agent comes back within `orphan_limit` seconds.

        It does so at once when `lifeline`, a pidfd, reports the end of that process.
        """
        self._lifeline = lifeline
        self.folder = folder
        self.orphan_limit = orphan_limit
        self._followed: dict[int, KeptExecution] = {}
        self._left: dict[int, Path] = {}
        """The folders of runs that an earlier agent has left, by their rows."""
        self._keepers: dict[Path, LeftKeeper | None] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._is_leaving = False

    def new_folder(self) -> KeeperFolder:
        """Make the folder of a keeper that is about to be started."""
        return KeeperFolder(self.folder, orphan_limit=self.orphan_limit, lifeline=self._lifeline)

    async def find_left(self, lock: int) -> list[KeptRun]:
        """Connect to the keepers that an earlier agent has left, and return their runs, including ended ones.

        `lock` is the open lock of the data folder.
        """
        found: list[KeptRun] = []
        for folder in keeper_folders(self.folder):
            self._keepers[folder] = await LeftKeeper.connected(folder, lock=lock) if is_alive(folder) else None
            for run_folder in run_folders(folder):
                kept = KeptRun.read(run_folder)
                if kept is not None:
                    self._left[kept.row] = run_folder
                    found.append(kept)
            self._tidy(folder)
        return found

    def is_left(self, row: int) -> bool:
        """Return whether an earlier agent has left a run."""
        return row in self._left

    def place_of(self, row: int) -> tuple[LeftKeeper | None, Path]:
        """Return the keeper, if it is connected, and the folder of a run that an earlier agent has left."""
        folder = self._left[row]
        return self._keepers.get(folder.parent), folder

    def follow(self, execution: KeptExecution) -> None:
        """Remember a run that is followed, until it is collected."""
        self._followed[execution.kept.row] = execution

    def collect(self, row: int) -> None:
        """Remove the files of a run whose end is recorded; do nothing if it has none."""
        execution, folder = self._followed.pop(row, None), self._left.pop(row, None)
        folder = execution.folder if execution is not None else folder
        if folder is not None:
            with suppress(OSError):
                remove_tree(folder)
            self._tidy(folder.parent)
            self._end_without_runs(folder.parent)

    def leave(self) -> None:
        """Stop following runs; those with a keeper continue without the agent."""
        self._is_leaving = True
        for execution in self._followed.values():
            execution.leave()

    async def let_go(self, keeper: KeeperProcess) -> None:
        """End a keeper, or leave it to its runs."""
        folders = [*self._left.values(), *(execution.folder for execution in self._followed.values())]
        has_runs = any(folder.parent == keeper.folder for folder in folders if folder is not None)
        await (keeper.leave() if self._is_leaving and has_runs else keeper.close())
        if keeper.folder is not None:
            self._tidy(keeper.folder)

    async def close(self) -> None:
        """Release the keepers that an earlier agent has left."""
        for keeper in self._keepers.values():
            if keeper is not None:
                await self.let_go(keeper)
        await asyncio.gather(*self._ending)

    def _end_without_runs(self, folder: Path) -> None:
        """End a keeper that an earlier agent has left, once its last run is collected: new runs use other keepers."""
        keeper = self._keepers.get(folder)
        if keeper is not None and not any(left.parent == folder for left in self._left.values()):
            self._keepers[folder] = None
            task = asyncio.create_task(self.let_go(keeper))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _tidy(self, folder: Path) -> None:
        """Remove the folder of a keeper that has ended, once its runs are collected."""
        if not is_alive(folder) and not any(KeptRun.read(each) for each in run_folders(folder)):
            with suppress(OSError):
                remove_tree(folder)
