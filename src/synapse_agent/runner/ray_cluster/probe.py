"""Whether anybody is at a cluster's address: Ray itself takes minutes to find out."""

from __future__ import annotations

import asyncio

from synapse_agent.runner.ray_cluster.errors import ClusterSilent

_KNOCK_SECONDS = 5.0


async def probe(address: str) -> None:
    """Connect to `host:port`, and no more; `ClusterSilent` where that can't be."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_KNOCK_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except TimeoutError as error:
        raise ClusterSilent(f"nobody at {address} has answered within {_KNOCK_SECONDS:g} s") from error
    except (OSError, OverflowError) as error:
        raise ClusterSilent(f"{address} cannot be connected to ({error})") from error
    writer.close()
