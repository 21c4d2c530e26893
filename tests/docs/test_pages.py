"""Every block of Python in the README and in docs/ runs as printed, against an agent with the example plugins."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


@pytest.fixture(scope="module")
def agent() -> Iterator[EmbeddedAgent]:
    """Run an agent that has the example plugins."""
    with EmbeddedAgent(plugins=ROOT / "examples" / "plugins") as agent:
        yield agent


def compiled(code: str, name: str) -> CodeType:
    """Compile a block, in which `await` may stand at the top level."""
    return compile(code, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_there_are_pages_with_blocks() -> None:
    """The pattern finds the blocks that the pages have."""
    for page in PAGES:
        text = page.read_text()
        assert len(FENCED.findall(text)) == text.count("```python"), page
    assert sum(len(FENCED.findall(page.read_text())) for page in PAGES) > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page_run(
    page: Path, agent: EmbeddedAgent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given an address, a token and a `client`, each block of a page works, from top to bottom."""
    monkeypatch.chdir(ROOT)
    with agent.client() as client:
        for code in FENCED.findall(page.read_text()):
            client.create_plugin_release("my_plugin", "1.0.0")
            client.create_plugin_release("ml_model", "1.2.0")
            real = code.replace("https://agent.example.com", agent.base_url).replace("your-token", agent.token)
            names: dict[str, Any] = {"client": client}
            outcome = eval(compiled(real, str(page)), names)
            if inspect.iscoroutine(outcome):
                asyncio.run(outcome)
            if names["client"] is not client and isinstance(names["client"], AgentClient):
                names["client"].close()
    if page.name == "opentelemetry.md":
        assert "GET list_plugin_releases" in capsys.readouterr().out
