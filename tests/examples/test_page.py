"""The page that documents the client agrees with the examples, and both work as printed.

The page is not part of this repository; if it is missing, these tests are skipped.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent

PAGE = Path(__file__).parents[3] / "shared" / "plugin-mixin.md"
TEXT = PAGE.read_text() if PAGE.is_file() else ""
FENCED = re.compile(r'^ *```python(?: filename="examples/(?P<script>[^"]+)")?\n(?P<code>.*?)^ *```$', re.M | re.S)

IN_SCRIPTS = {
    '"https://agent.example.com"': 'os.environ["SYNAPSE_AGENT_URL"]',
    '"your-token"': 'os.environ["SYNAPSE_AGENT_TOKEN"]',
    '"123"': 'str(release["id"])',
    '"/data/document.pdf"': "str(DOCUMENT)",
    '"/path/to/plugin/source"': "str(PLUGIN)",
    "{...}": '{"input": "to be or not to be"}',
    '"class Processor: ..."': "PROCESSOR",
}
"""The scripts' values for the page's placeholders. Everything else is as printed."""

OUTPUTS = {
    # Other tests on this agent may have cached more releases, in another order.
    "list_releases.py": r"(?s)(?=.*my_plugin@1\.0\.0\n)(?=.*ocr_plugin@2\.0\.0\n)(\w+@[\d.]+\n)+",
    "create_release.py": r"Cached: \d+\n",
    "run_release.py": r"Result: \{.*'Tilt sensor 4711: calibration.*\}\n",
    "agent_plugin.py": r"Prediction: 5\.9856\n",
}
"""The output of the page's code, as a regular expression; other blocks print nothing."""

pytestmark = pytest.mark.skipif(not TEXT, reason=f"the page is missing: {PAGE}")


@dataclass(frozen=True)
class Block:
    """A block of Python on the page, and the script in examples/ that shows the same."""

    script: str
    code: str

    def substituted(self, substitutions: Mapping[str, str]) -> str:
        """Return the code with its placeholders replaced."""
        code = self.code
        for printed, real in substitutions.items():
            code = code.replace(printed, real)
        return code


def read_blocks(text: str) -> list[Block]:
    """Return the page's blocks of Python, in order; those without a file name are identified by their place."""
    blocks = []
    for found in FENCED.finditer(text):
        in_workflow = "## Typical Workflow" in text[: found.start()]
        unnamed = "workflow.py" if in_workflow else "legacy_run.py"
        blocks.append(Block(found["script"] or unnamed, dedent(found["code"])))
    return blocks


def statements(code: str) -> list[str]:
    """Return the statements of a program, in a uniform format and without comments."""
    return [ast.unparse(statement) for statement in ast.parse(code).body]


async def run_awaited(code: str, agent: EmbeddedAgent) -> None:
    """Run a program for `AgentClient` with `AsyncAgentClient` instead."""
    awaited = re.sub(r"\bclient\.(?=\w+\()", "await client.", code.replace("AgentClient", "AsyncAgentClient"))
    async with agent.async_client() as client:
        names: dict[str, Any] = {"client": client}
        await eval(compile(awaited, "the page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        await names["client"].aclose()


BLOCKS = read_blocks(TEXT)


def test_every_block_of_the_page_is_found() -> None:
    """The tests below cover every block of Python on the page."""
    assert len(BLOCKS) == TEXT.count("```python") > 0


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.script)
def test_the_page_runs_as_printed(
    block: Block,
    kind: str,
    examples: Path,
    examples_agent: EmbeddedAgent,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The page's code works once its placeholders are replaced.

    These are an address, a token, an ID, two paths and a body for `Processor`. With `await` before each call, the code
    works with `AsyncAgentClient`, too.
    """
    monkeypatch.setenv("SYNAPSE_AGENT_TOKEN", examples_agent.token)
    with examples_agent.client() as client:
        release = client.create_plugin_release("my_plugin", "1.0.0")
        client.create_plugin_release("ocr_plugin", "2.0.0")
        given = {
            "https://agent.example.com": examples_agent.base_url,
            "your-token": examples_agent.token,
            '"123"': f'"{release["id"]}"',
            "/data/document.pdf": str(examples / "data" / "document.pdf"),
            "/path/to/plugin/source": str(examples / "plugins" / "my_plugin"),
            "{...}": '{"input": "test"}',
            "class Processor: ...": r"class Processor:\n    def process(self, text): return text.upper()",
        }
        if kind == "sync":
            names: dict[str, Any] = {"client": client}
            exec(block.substituted(given), names)
            names["client"].close()
        else:
            asyncio.run(run_awaited(block.substituted(given), examples_agent))
    assert re.fullmatch(OUTPUTS.get(block.script, ""), capsys.readouterr().out)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.script)
def test_the_script_is_the_page(block: Block, examples: Path) -> None:
    """The example script has every statement of the page's block, in the page's order."""
    remaining = iter(statements((examples / block.script).read_text()))
    missing = [wanted for wanted in statements(block.substituted(IN_SCRIPTS)) if wanted not in remaining]
    assert missing == []
