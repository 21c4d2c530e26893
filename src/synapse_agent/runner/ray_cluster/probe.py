"""Check that a cluster responds at its address: Ray itself takes minutes for that."""

from __future__ import annotations

import asyncio

from synapse_agent.runner.ray_cluster.errors import ClusterSilent

_PROBE_SECONDS = 5.0


async def probe(address: str) -> None:
    """Connect to `host:port`, and disconnect; raise `ClusterSilent` if that fails."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except TimeoutError as error:
        raise ClusterSilent(f"no response from {address} within {_PROBE_SECONDS:g} s") from error
    except (OSError, OverflowError) as error:
        raise ClusterSilent(f"could not connect to {address} ({error})") from error
    writer.close()
