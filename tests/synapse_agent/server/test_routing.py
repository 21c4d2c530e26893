"""Finding the application for a path."""

from __future__ import annotations

import pytest

from synapse_agent.problems import Problem
from synapse_agent.server.routing import Routes

PATHS = (
    "/",
    "/jobs/",
    "/jobs/{job_id}/",
    "/jobs/{job_id}/logs/",
    "/releases/run_debug/",
    "/releases/{lookup}/",
    "/a{b",
)


async def found(path):
    """Return the path under which an application was found, and its parameters."""
    called = []

    def app_at(known):
        async def app(scope, _receive, _send):
            called.append((known, scope["path_params"]))

        return app

    await Routes({known: app_at(known) for known in PATHS})({"type": "http", "path": path}, None, None)
    (only,) = called
    return only


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "known", "parameters"),
    [
        ("/", "/", {}),
        ("/jobs/", "/jobs/", {}),
        ("/jobs/1/", "/jobs/{job_id}/", {"job_id": "1"}),
        ("/jobs/a%2Fb/logs/", "/jobs/{job_id}/logs/", {"job_id": "a%2Fb"}),
        ("/releases/run_debug/", "/releases/run_debug/", {}),
        ("/releases/logs/", "/releases/{lookup}/", {"lookup": "logs"}),
        ("/jobs/{job_id}/", "/jobs/{job_id}/", {"job_id": "{job_id}"}),
    ],
)
async def test_a_path_leads_to_its_application(path, known, parameters):
    """A parameter is the text between two slashes, unchanged; a path without parameters takes precedence."""
    assert await found(path) == (known, parameters)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path", ["", "/jobs", "/jobs//", "/jobs/1", "/jobs/1/logs", "/jobs/1/2/3/", "/releases/{lookup}"]
)
async def test_any_other_path_leads_nowhere(path):
    """The answer is 404 `not_found` with the path."""
    with pytest.raises(Problem) as caught:
        await found(path)
    assert (caught.value.status, caught.value.error_type) == (404, "not_found")
    assert caught.value.message.startswith(f"No operation has the path {path}.")
