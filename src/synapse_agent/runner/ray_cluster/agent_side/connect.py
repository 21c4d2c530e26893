"""Connect to a cluster: from its address to a ready driver, within a time limit."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from synapse_agent.runner.ray_cluster import messages
from synapse_agent.runner.ray_cluster.agent_side.driver_process import LOG, DriverProcess
from synapse_agent.runner.ray_cluster.errors import ClusterSilent
from synapse_agent.runner.ray_cluster.messages import Begin
from synapse_agent.runner.ray_cluster.probe import probe
from synapse_agent.storage.atomic_write import write_atomically

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 60.0
"""How long a cluster may take to accept the agent."""
_IDENTITY_FILE = "ray-identity"
_NEEDS_NODE = "the agent's own machine must be a node of the cluster"


class Unreachable(Exception):
    """The cluster can't be used now; the message has the reason."""


async def connect(begin: Begin, environ: Mapping[str, str]) -> DriverProcess:
    """Start a driver and wait until the cluster accepts runs from it; else clean up and raise `Unreachable`."""
    try:
        await probe(begin.settings.ray_address or "")
    except ClusterSilent as silent:
        raise Unreachable(str(silent)) from silent
    link = DriverProcess(begin, environ=environ)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await link.open()
            await _ready(link)
    except BaseException as error:
        await link.kill()
        if isinstance(error, TimeoutError):
            raise Unreachable(_with_last_words(f"it has not done so within {CONNECT_SECONDS:g} s", link)) from error
        raise
    return link


def identity(data_dir: Path) -> str:
    """Return the agent's name on its cluster, which lasts as long as its data folder."""
    file = data_dir / _IDENTITY_FILE
    with suppress(FileNotFoundError):
        if known := file.read_text():  # two agents of the same name, even an empty one, would end each other's runs
            return known
    name = secrets.token_hex(8)
    write_atomically(file, name.encode())
    return name


async def _ready(link: DriverProcess) -> None:
    """Wait for the driver to be ready, or raise `Unreachable` with its reason."""
    while not isinstance(message := await link.receive(), messages.Ready):
        if isinstance(message, messages.Warned):
            logger.warning("%s", message.text)
        if isinstance(message, messages.Refused):
            raise Unreachable(_with_last_words(message.why, link))
        if message is None:
            raise Unreachable(_with_last_words(f"the process that joins it has ended; {_NEEDS_NODE}", link))


def _with_last_words(why: str, link: DriverProcess) -> str:
    said = link.last_words()
    return f"{why}. Ray's last output: {said} (more is in {LOG} in the data folder)" if said else f"{why}."
