"""What has been fetched as a release: examined before it is cached, and fetched again if somebody removed it."""

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
"""By when a folder is gone that somebody has begun to remove."""


class FolderGone(Exception):
    """Somebody removed what was being fetched."""


async def again_if_removed(fetch: Callable[[], Awaitable[T]], release: str) -> T:
    """Fetch once more what somebody has removed before it was in its place."""
    try:
        return await fetch()
    except FolderGone:
        logger.warning("The folder that %s came into was removed; it is fetched again", release)
        return await fetch()


async def examined(folder: Path, plugin: str, version: str, rules: RequirementRules) -> tuple[PluginConfig, str]:
    """Examine what was fetched; what is wrong with a folder that somebody is removing is not the plugin's fault."""
    try:
        return await in_thread(_examine, folder, plugin, version, rules)
    except (Problem, OSError) as error:
        await asyncio.sleep(GONE_SECONDS)
        if await in_thread(folder.is_dir):
            raise
        raise FolderGone from error


def _examine(folder: Path, plugin: str, version: str, rules: RequirementRules) -> tuple[PluginConfig, str]:
    """Judge what has been fetched as far as it can be without installing, put it on the disk, and name its content."""
    config = PluginConfig.read(folder)
    if (config.code, config.version) != (plugin, version):
        message = f"What was fetched as {plugin}@{version} calls itself {config.code}@{config.version}."
        raise Problem(422, "invalid_plugin", message)
    read_requirements(folder, rules)
    requires_python(folder)
    sync_tree(folder)
    return config, tree_digest(folder)
