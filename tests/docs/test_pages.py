"""Every block of code on every page of the site works as printed.

Python runs, against an agent with the example plugins: a comment below an expression that is a Python value is what the
expression returns. Shell commands, and what is typed in a session that is shown, run in a folder of their own. Data is
parsed, a plugin's configuration by the agent. A block with a title shows a part of that file of the examples.
`listed.py` has all others, with the reasons.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blocks import PAGES, READERS, ROOT, SHELLS, SHOWN, Block, blocks_of, compiled, name_of
from listed import NOT_RUN, RUN_ELSEWHERE
from shells import Shell

from synapse_agent import EmbeddedAgent
from synapse_agent.plugins.config import PluginConfig
from synapse_agent.runner.environments.interpreters import Interpreters
from synapse_sdk.clients.agent import AgentClient

EVERY_BLOCK = [block for page in PAGES for block in blocks_of(page)]
SDK_PAGE = "docs/guides/sdk-plugins.md"
WITH_COMMANDS = [page for page in PAGES if any(block.language in ("python", *SHELLS) for block in blocks_of(page))]


@pytest.fixture(scope="module")
def page_agent() -> Iterator[EmbeddedAgent]:
    """Run an agent that has the example plugins."""
    with EmbeddedAgent(plugins=ROOT / "examples" / "plugins") as agent:
        yield agent


def is_listed(block: Block) -> bool:
    """Return whether a block is in one of the lists."""
    return block.name in NOT_RUN or block.page in RUN_ELSEWHERE


def has_python(wanted: str) -> bool:
    """Return whether this machine has a Python that fits."""

    async def find() -> bool:
        return any([True async for _ in Interpreters().fitting(wanted)])

    return asyncio.run(find())


def test_all_blocks_are_found() -> None:
    """The pattern finds as many as there are fences."""
    for page in PAGES:
        assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks_of(page)), page
    assert len(EVERY_BLOCK) > 50


def test_every_block_is_run_read_or_listed() -> None:
    """A block in another language must be on the list, with a reason."""
    checked = {"python", *SHELLS, *READERS}
    missing = [
        block.name
        for block in EVERY_BLOCK
        if block.language not in checked and not block.is_shown and not is_listed(block)
    ]
    assert not missing, "Run these blocks, or list them in tests/docs/listed.py with the reason."


def test_the_list_names_only_what_is_there() -> None:
    """An entry without a block fails; every reason is a sentence."""
    assert set(NOT_RUN) <= {block.name for block in EVERY_BLOCK}
    assert set(RUN_ELSEWHERE) <= {name_of(page) for page in PAGES}
    assert all(len(reason) > 10 for reason in [*NOT_RUN.values(), *RUN_ELSEWHERE.values()])


def test_a_value_that_is_not_as_shown_is_noticed() -> None:
    """Comments that are not values are ignored."""
    exec(compiled("1 + 1\n# 2\n1 + 1\n# two\n[1]\n# [\n#     1\n# ]\n", "page"), {})
    with pytest.raises(AssertionError, match="2"):
        exec(compiled("1 + 1\n# 3\n", "page"), {})


@pytest.mark.parametrize("block", [each for each in EVERY_BLOCK if each.title and not is_listed(each)], ids=str)
def test_what_a_page_shows_of_a_file_is_there(block: Block) -> None:
    """The file contains the block, word for word."""
    files = [folder / str(block.title) for folder in SHOWN if (folder / str(block.title)).is_file()]
    assert files, f"the file {block.title} was not found"
    assert block.text.strip() in files[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("block", [each for each in EVERY_BLOCK if each.language in READERS], ids=str)
def test_data_on_a_page_can_be_read(block: Block, tmp_path: Path) -> None:
    """The agent parses plugins' configurations."""
    READERS[block.language](block.text)
    if block.language == "yaml" and "actions:" in block.text:
        (tmp_path / "config.yaml").write_text(block.text, encoding="utf-8")
        config = PluginConfig.read(tmp_path)
        assert all(config.action(name) for name in config.actions)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_the_commands_of_a_page_run(
    page: Path,
    page_agent: EmbeddedAgent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They run from top to bottom; Python has an address, a token and a `client`."""
    if name_of(page) == SDK_PAGE and not has_python(">=3.12,<3.13"):
        pytest.skip("this page is about the public synapse-sdk, which needs Python 3.12; it was not found")
    links = {"examples": ROOT / "examples", "plugins": ROOT / "examples" / "plugins"}
    with Shell(tmp_path, links, agent_url=page_agent.base_url, agent_token=page_agent.token) as shell:
        monkeypatch.delenv("SYNAPSE_AGENT_TOKEN", raising=False)
        monkeypatch.chdir(tmp_path)  # the folder that a page writes to
        for block in (each for each in blocks_of(page) if not is_listed(each) and not each.title):
            if block.language in SHELLS:
                shell.run(block.commands)
                for name, value in shell.exports().items():
                    monkeypatch.setenv(name, value)
            elif block.language == "python":
                run_python(block, page_agent)
    if page.name == "opentelemetry.md":
        assert "GET list_plugin_releases" in capsys.readouterr().out


def run_python(block: Block, agent: EmbeddedAgent) -> None:
    """Run a block with a client of an agent that has cached two of the example plugins."""
    with agent.client() as client:
        client.create_plugin_release("my_plugin", "1.0.0")
        client.create_plugin_release("ml_model", "1.2.0")
        real = block.text.replace("https://agent.example.com", agent.base_url).replace("your-token", agent.token)
        names: dict[str, Any] = {"client": client}
        outcome = eval(compiled(real, block.page), names)
        if inspect.iscoroutine(outcome):
            asyncio.run(outcome)
        if names["client"] is not client and isinstance(names["client"], AgentClient):
            names["client"].close()
