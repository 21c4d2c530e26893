"""What importing the client imports."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import requires

from synapse_agent_api.http_library import httpx


def modules_after(statement: str) -> set[str]:
    """Return the names of the modules that a fresh interpreter has after a statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_client_imports_nothing_of_the_agent() -> None:
    """It imports no pydantic, web framework or agent, and httpx only when a client is created."""
    roots = {name.partition(".")[0] for name in modules_after("import synapse_sdk.clients.agent")}
    assert not roots & {
        "pydantic",
        "starlette",
        "uvicorn",
        "yaml",
        "typer",
        "rich",
        "synapse_agent",
        "httpx",
        "httpx2",
        "attr",
    }


def test_making_calls_needs_httpx_and_attrs_alone() -> None:
    """A client that has built every kind of request has imported no other distribution."""
    calls = (
        "from synapse_sdk.clients.agent import AgentClient; "
        "from synapse_sdk.clients.agent._request import calls as c; AgentClient('http://agent.test').api; "
        "c.list_plugin_releases(); c.create_plugin_release('a', '1'); c.health_check(); c.get_plugin_release(1)"
    )
    roots = {name.partition(".")[0] for name in modules_after(calls)}
    foreign = {"pydantic", "starlette", "uvicorn", "yaml", "dateutil", "synapse_agent"}
    assert {httpx.__name__, "attr", "synapse_agent_api"} <= roots
    assert not roots & foreign


def names_of(distribution: str) -> set[str]:
    """Return the requirements of a distribution, without extras."""
    asked = [each for each in requires(distribution) or () if "extra ==" not in each]
    return {re.split(r"[^A-Za-z0-9-]", each)[0] for each in asked}


def test_what_the_client_imports_is_declared() -> None:
    """These are its four dependencies. anyio and h11 add nothing: httpx and httpx2 need them anyway."""
    assert names_of("synapse-agent-client") == {"anyio", "attrs", "h11", "httpx"}
    for library in ("httpx", "httpx2"):
        assert {"anyio", "h11"} <= names_of(library) | names_of(library.replace("httpx", "httpcore"))


def test_httpx2_is_used_only_on_request() -> None:
    """Another package may install httpx2; tools that observe httpx would not see its requests."""
    used = "import os; os.environ.pop('SYNAPSE_HTTP_LIBRARY', None); import synapse_agent_api.http_library"
    assert "httpx" in modules_after(used)
    assert "httpx2" not in modules_after(used)
    assert "httpx2" in modules_after(
        used.replace("pop('SYNAPSE_HTTP_LIBRARY', None)", "update(SYNAPSE_HTTP_LIBRARY='httpx2')")
    )
