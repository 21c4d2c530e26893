"""The output files of runs: stored after a run, listed, and referred to in its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synapse_agent.files.outputs import OutputFile, Outputs, unsettled
from synapse_agent.files.references import HAS_INCOMPLETE, completed
from synapse_agent.files.store import FileStore
from synapse_agent.jobs.files import JobFiles
from synapse_agent.jobs.outcomes import output_not_kept
from synapse_agent.jobs.recorder import Recorder
from synapse_agent.problems import Problem, quoted
from synapse_agent.storage.repositories.jobs import JobRow
from synapse_agent.util.threads import in_thread


class LeftFiles:
    """The output files of an agent's runs."""

    def __init__(self, files_of: Callable[[JobRow], JobFiles], store: FileStore, *, limit: int) -> None:
        """References name files in `store`; a job may leave `limit` bytes."""
        self._files_of = files_of
        self._store = store
        self._limit = limit

    async def settle(self, row: JobRow, recorder: Recorder | None, outcome: bytes | Problem) -> bytes | Problem:
        """Store the outputs of a finished run, and return its outcome with completed references in the result."""
        if recorder is not None and recorder.has_outputs:
            await in_thread(self._files_of(row).settle_outputs, self._limit)
        if not isinstance(outcome, bytes) or HAS_INCOMPLETE not in outcome:
            return outcome
        try:
            return await in_thread(self._completed, row, outcome)
        except Problem as problem:
            return problem

    async def listed(self, row: JobRow, recorder: Recorder | None) -> list[OutputFile]:
        """List a job's outputs, for a running job the current ones."""
        if recorder is not None and recorder.live_outputs is not None:
            return await in_thread(unsettled, recorder.live_outputs)
        return await in_thread(self._identified, self._files_of(row).outputs)

    async def path(self, row: JobRow, name: str) -> Path:
        """Return the path of a job's output file, or raise `Problem` 404 `file_not_found`."""
        path = await in_thread(self._files_of(row).outputs.path, name)
        if path is None:
            message = f"The job {row.job_id!r} has no file {quoted(name)}."
            raise Problem(404, "file_not_found", message, job_id=row.job_id)
        return path

    def _completed(self, row: JobRow, result: bytes) -> bytes:
        outputs = self._files_of(row).outputs

        def identify(name: str) -> Mapping[str, Any]:
            if (file := outputs.identify(name)) is None:
                raise output_not_kept(row.job_id, name)
            self._store.adopt(outputs.folder / name, file)
            return file.reference()

        return completed(result, identify)

    def _identified(self, outputs: Outputs) -> list[OutputFile]:
        files = outputs.identified()
        for file in files:
            self._store.adopt(outputs.folder / file.name, file)
        return files
