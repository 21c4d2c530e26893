"""The runners on which tests with a real agent run: all of them, unless a module is listed here with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
RUNNERS = ("local", "ray")
ON_ONE_RUNNER = {
    "test_schemathesis.py": "Compares requests and answers with the contract, which know nothing of runners.",
    "test_typescript.py": "Is about a client; what it does on a real agent, `test_scenarios.py` does too.",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the synchronous client on a cluster: a runner does not know its callers, and a local one has both."""
    needless = [item for item in items if item.path.parent == HERE and {"ray", "sync"} <= _parameters(item)]
    config.hook.pytest_deselected(items=needless)
    for item in needless:
        items.remove(item)


def _parameters(item: pytest.Item) -> set[str]:
    callspec = getattr(item, "callspec", None)
    return {str(value) for value in callspec.params.values()} if callspec else set()


@pytest.fixture(scope="module", params=RUNNERS)
def runner_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings that make an agent use the runner that the parameter names."""
    if request.param == "local":
        return {"runner": "local"}
    return {"runner": "ray", "ray_address": request.getfixturevalue("ray_cluster").address}
