"""The page about sharing the contract: every section with commands works as printed, in an empty folder."""

from __future__ import annotations

import re
import shutil

import pytest
import recipes
from parameters import parameter

OUTPUTS = {
    "TypeScript": r'Cached: my_plugin 1\.0\.0\nResult: {.*"losses":\[0\.58.*\nDeleted: 404 {"error_type":"release_',
    "Go": r"Cached: my_plugin 1\.0\.0\nResult: .*losses:\[0\.58.*\nDeleted: The release 'my_plugin@1\.0\.0' ",
    "curl": r'{"id":\d+,"plugin":"my_plugin".*"losses":\[0\.58.*"status":"SUCCEEDED"',
    "HTTPie": r'{"id":\d+,"plugin":"my_plugin".*"losses":\[0\.58.*"status":"SUCCEEDED"',
}
"""A regular expression that matches in the output of each section's commands."""
NEEDS = {"Go": ("go", "java"), "curl": ("curl",), "HTTPie": (), "TypeScript": ("curl",)}
"""The programs that a section needs besides Python and Node; `.ci/install` installs them."""


LONG = {"Go", "TypeScript"}
"""Sections whose tools take long."""


@pytest.mark.parametrize("section", [parameter(each, is_long=each in LONG) for each in OUTPUTS])
def test_a_section_works_as_printed(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client is created and does the main job: create, run, delete. Cached packages are used."""
    monkeypatch.setenv("npm_config_prefer_offline", "true")
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    missing = [program for program in NEEDS[section] if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} missing; as root on Debian, .ci/install installs it.")
    done = recipes.run(section, capture=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(OUTPUTS[section], done.stdout, re.S), done.stdout


def test_no_command_of_the_page_is_left_out() -> None:
    """Every block is a command, or a file, of a section that the test above runs."""
    page = recipes.PAGE.read_text(encoding="utf-8")
    with_blocks = {name: list(recipes.BLOCK.finditer(text)) for name, text in recipes.sections().items()}
    assert {name for name, blocks in with_blocks.items() if blocks} == {recipes.AGENT, *OUTPUTS}
    assert 2 * sum(map(len, with_blocks.values())) == page.count("```")
    for block in (block for blocks in with_blocks.values() for block in blocks):
        assert (block["kind"] == "sh") is (block["name"] is None)
