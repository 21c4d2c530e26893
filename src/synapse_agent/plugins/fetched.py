"""Newly fetched releases: validated before they are cached, and fetched again if removed meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from synapse_agent.plugins.config import PluginConfig
from synapse_agent.plugins.project import read_requirements, requires_python
from synapse_agent.plugins.requirements import RequirementRules
from synapse_agent.problems import Problem
from synapse_agent.storage.trees import sync_tree, tree_digest
from synapse_agent.util.threads import in_thread

logger = logging.getLogger(__name__)

T = TypeVar("T")

GONE_SECONDS = 0.2
"""Time within which a folder disappears once its removal has started."""


class FolderGone(Exception):
    """The folder was removed during the fetch."""


async def again_if_removed(fetch: Callable[[], Awaitable[T]], release: str) -> T:
    """Fetch, and once more if the folder is removed before it is in its place."""
    try:
        return await fetch()
    except FolderGone:
        logger.warning("The folder for %s was removed during the fetch; fetching again", release)
        return await fetch()


async def examined(folder: Path, plugin: str, version: str, rules: RequirementRules) -> tuple[PluginConfig, str]:
    """Validate a fetched plugin; raise `FolderGone` instead of its faults if the folder is being removed."""
    try:
        return await in_thread(_examine, folder, plugin, version, rules)
    except (Problem, OSError) as error:
        await asyncio.sleep(GONE_SECONDS)
        if await in_thread(folder.is_dir):
            raise
        raise FolderGone from error


def _examine(folder: Path, plugin: str, version: str, rules: RequirementRules) -> tuple[PluginConfig, str]:
    """Validate a plugin without installing it, and write it to the disk; return its config and digest."""
    config = PluginConfig.read(folder)
    if (config.code, config.version) != (plugin, version):
        message = f"The plugin fetched as {plugin}@{version} is {config.code}@{config.version} by its config."
        raise Problem(422, "invalid_plugin", message)
    read_requirements(folder, rules)
    requires_python(folder)
    sync_tree(folder)
    return config, tree_digest(folder)
