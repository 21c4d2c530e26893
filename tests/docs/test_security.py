"""The security page describes what the agent does."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from synapse_agent.options import ACCESS, LIMITS, SANDBOX, option_name, option_of
from synapse_agent.runner.processes.sandbox import SandboxPolicy
from synapse_agent.server.process_secrets import OPTIONS, VARIABLES
from synapse_agent.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "security.md").read_text()
NAMES = [
    name
    for setting in fields(Settings)
    if option_of(setting).panel in (ACCESS, SANDBOX, LIMITS) or setting.name.startswith(("max_plugin", "max_zygotes"))
    for name in option_name(setting).split("/")
]


@pytest.mark.parametrize("name", NAMES)
def test_every_option_that_bounds_is_on_the_page(name: str) -> None:
    """A new option fails this test until the page has it."""
    assert f"`{name}" in PAGE or f" {name}" in PAGE


def test_what_the_page_lists_is_what_there_is() -> None:
    """It has the restrictions by their names in `/health/`, the secrets, and the defaults of limits."""
    assert len(NAMES) > 15
    for name in (
        *SandboxPolicy("active", 7, namespaces=True, bounds=("memory", "processes")).restricts,
        *VARIABLES,
        *OPTIONS,
    ):
        assert f"`{name}`" in PAGE
    defaults = Settings(backend="http://x", data_dir=Path())
    assert f"`--max-zygotes N` ({defaults.max_zygotes})" in PAGE
    assert f"`--max-plugin-files N` ({defaults.max_plugin_files})" in PAGE
    assert f"`--max-archive-ratio N` ({defaults.max_archive_ratio})" in PAGE
    assert f"`--max-plugin-size SIZE` ({defaults.max_plugin_size >> 30}GiB)" in PAGE
    assert f"`--max-debug-size SIZE` ({defaults.max_debug_size >> 20}MiB)" in PAGE
    assert f"{defaults.max_queued_runs} more wait" in PAGE
    assert f"gets SIGTERM and {defaults.grace:g} s" in PAGE
    assert f"`--answer-timeout SECONDS` ({defaults.answer_timeout:g})" in PAGE
