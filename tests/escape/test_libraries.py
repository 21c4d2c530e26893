"""Libraries that start processes and share memory: joblib, and PyTorch's data loaders. They install in minutes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from synapse_agent.problems import Problem
from synapse_agent.runner.local import LocalRunner

pytestmark = [pytest.mark.anyio, pytest.mark.long]

JOBLIB = """
    import joblib, numpy

    def total(numbers):
        return float(numbers.sum())

    def act():
        numbers = numpy.ones(1_000_000)  # larger than what joblib sends: it is mapped from a file into the processes
        outcomes = []
        for backend in ("loky", "multiprocessing", "threading"):
            with joblib.parallel_backend(backend, n_jobs=2):
                outcomes.append(joblib.Parallel()(joblib.delayed(total)(numbers) for _ in range(4)))
        return outcomes
    """
LOADER = """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    def act():
        data = TensorDataset(torch.arange(64, dtype=torch.float32).reshape(32, 2))
        totals = []
        for context in ("fork", "spawn", "forkserver"):
            loader = DataLoader(data, batch_size=4, num_workers=2, multiprocessing_context=context)
            totals.append(sum(float(batch.sum()) for (batch,) in loader))
        return totals
    """
CASES = {
    "joblib": (JOBLIB, "joblib\nnumpy\n", [[1e6] * 4] * 3),
    "torch": (LOADER, "torch\nnumpy\n", [2016.0] * 3),
}


@pytest.mark.parametrize("name", CASES)
async def test_it_works_in_a_run(name: str, confined: LocalRunner, write: Callable[[str], Any]) -> None:
    """Each library works with each way in which it starts processes."""
    source, requirements, result = CASES[name]
    plugin = write(source)
    (plugin.folder / "requirements.txt").write_text(requirements)
    try:
        returned = await plugin.run(confined)
    except Problem as problem:
        if problem.error_type == "requirements_failed":
            pytest.skip(f"{name} can't be installed here: {problem.message[-300:]}")
        raise
    assert returned == result
