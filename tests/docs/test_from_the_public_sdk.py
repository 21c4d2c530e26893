"""The guide for users of the public SDK has every call of its agent client, and every call of ours."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from blocks import ROOT

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ValidationError

PAGE = (ROOT / "docs" / "guides" / "from-the-public-sdk.md").read_text(encoding="utf-8")
VERSION = re.findall(r"describes `synapse-sdk` (\S+)\.$", PAGE, re.M)[0]
LOOK = """
import inspect
from synapse_sdk.clients.agent import AgentClient


def look():
    return {name: parameters(member) for name, member in inspect.getmembers(AgentClient) if not name.startswith("_")}


def parameters(member):
    if not inspect.isfunction(member):
        return None
    bare = inspect.Parameter.empty
    own = list(inspect.signature(member).parameters.values())[1:]
    return str(inspect.Signature([each.replace(annotation=bare) for each in own])).replace("'", '"')
"""
"""An action that runs with the public SDK, and returns its names, and the parameters of methods."""


@pytest.fixture(scope="module")
def public() -> dict[str, str | None]:
    """Read the public SDK itself, in a separate environment."""
    config = {"requires": {"python": ">=3.12,<3.13"}, "actions": {"look": {"entrypoint": "look_at_it:look"}}}
    source: dict[str, Any] = {"config": config, "modules": {"look_at_it": LOOK}}
    with EmbeddedAgent() as agent, agent.client() as client:
        try:
            names: dict[str, str | None] = client.run_debug_plugin_release(
                "look", requirements=[f"synapse-sdk=={VERSION}"], **source
            )
        except ValidationError as error:
            if error.error_type != "python_not_found":
                raise
            pytest.skip("the public synapse-sdk needs Python 3.12, which was not found")
    return names


def test_every_call_of_the_public_client_is_on_the_page(public: dict[str, str | None]) -> None:
    """The page has its methods, and all other public attributes of its client."""
    assert len(public) > 40
    assert [name for name in public if not re.search(rf"`(?:\w+\.)?{name}\b", PAGE)] == []


def test_a_call_that_is_shown_takes_what_the_page_says(public: dict[str, str | None]) -> None:
    """Arguments in the first column of the tables of calls are parameters of the public SDK's methods."""
    tables = PAGE.partition("## Plugin releases")[2].partition("## Not available")[0]
    rows = re.findall(r"^\| ([^|]+) \|", tables, re.M)
    shown = {name: parameters for row in rows for name, parameters in re.findall(r"`(\w+)(\(.*?\))`", row)}
    assert len(shown) > 10
    assert shown == {name: public.get(name) for name in shown}


def test_every_call_of_ours_is_on_the_page() -> None:
    """Adding a method to our client fails this test until the page has it."""
    ours = [name for name, member in inspect.getmembers(AgentClient) if not name.startswith("_") and callable(member)]
    assert len(ours) > 10
    assert [name for name in ours if not re.search(rf"`(?:\w+\.)?{name}\b", PAGE)] == []
