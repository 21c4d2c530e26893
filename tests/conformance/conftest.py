"""The runners on which tests with a real agent run: all of them, unless a module is listed here with the reason."""

from __future__ import annotations

from typing import Any

import pytest

RUNNERS = ("local", "ray")
ON_ONE_RUNNER = {
    "test_schemathesis.py": "Compares requests and answers with the contract, which know nothing of runners.",
    "test_typescript.py": "Is about a client; what it does on a real agent, `test_scenarios.py` does too.",
}


@pytest.fixture(scope="module", params=RUNNERS)
def runner_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings that make an agent use the runner that the parameter names."""
    if request.param == "local":
        return {"runner": "local"}
    return {"runner": "ray", "ray_address": request.getfixturevalue("ray_cluster").address}
