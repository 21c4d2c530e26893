"""Every block of Python in the README and in docs/ runs as printed, against an agent with the example plugins.

A comment below an expression that is a Python value is what the expression gives. A block with a title shows a part of
that file of the example plugins.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.runner.interpreters import Interpreters
from synapse_sdk.clients.agent import AgentClient

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
TITLED = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.M | re.S)
PLUGINS = ROOT / "examples" / "plugins"
SDK_PAGE = ROOT / "docs" / "guides" / "sdk-plugins.md"


@pytest.fixture(scope="module")
def agent() -> Iterator[EmbeddedAgent]:
    """Run an agent that has the example plugins."""
    with EmbeddedAgent(plugins=PLUGINS) as agent:
        yield agent


def compiled(code: str, name: str) -> CodeType:
    """Compile a block, in which `await` may stand at the top level, and in which values that are shown are checked."""
    block = ast.parse(code)
    block.body = [checked(statement, shown_below(statement, code)) for statement in block.body]
    return compile(ast.fix_missing_locations(block), name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def shown_below(statement: ast.stmt, code: str) -> ast.expr | None:
    """Give the value in the comment right below a statement, if there is one."""
    lines = takewhile(lambda line: line.startswith("# "), code.splitlines()[statement.end_lineno :])
    text = "\n".join(line.removeprefix("# ") for line in lines)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return ast.parse(text, mode="eval").body


def checked(statement: ast.stmt, shown: ast.expr | None) -> ast.stmt:
    """Turn an expression whose value is shown into the assertion that it has this value."""
    if shown is None or not isinstance(statement, ast.Expr):
        return statement
    value = ast.unparse(statement.value)
    check = ast.parse(f"_given = {value}\nassert _given == ({ast.unparse(shown)}), repr(_given)").body
    return ast.If(ast.Constant(value=True), check, [])


def has_python(wanted: str) -> bool:
    """Tell whether this machine has a Python that fits."""

    async def find() -> bool:
        return any([True async for _ in Interpreters().fitting(wanted)])

    return asyncio.run(find())


def test_there_are_pages_with_blocks() -> None:
    """The pattern finds the blocks that the pages have."""
    for page in PAGES:
        text = page.read_text()
        assert len(FENCED.findall(text)) == text.count("```python\n"), page
        assert len(TITLED.findall(text)) == text.count(' title="'), page
    assert sum(len(FENCED.findall(page.read_text())) for page in PAGES) > 5


def test_a_value_that_is_not_as_shown_is_noticed() -> None:
    """Comments that are no values are let be."""
    exec(compiled("1 + 1\n# 2\n1 + 1\n# two\n[1]\n# [\n#     1\n# ]\n", "page"), {})
    with pytest.raises(AssertionError, match="2"):
        exec(compiled("1 + 1\n# 3\n", "page"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_shows_of_a_file_is_there(page: Path) -> None:
    """Word for word."""
    for title, text in TITLED.findall(page.read_text()):
        assert text.strip() in (PLUGINS / title).read_text(), title


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page_run(
    page: Path, agent: EmbeddedAgent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given an address, a token and a `client`, each block of a page works, from top to bottom."""
    if page == SDK_PAGE and not has_python(">=3.12,<3.13"):
        pytest.skip("the public synapse-sdk, of which this page is, needs a Python 3.12, and this machine has none")
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
