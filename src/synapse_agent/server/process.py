"""An agent as a process of its own: signals, logging, the `ready` line."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import ExitStack

import uvloop

from synapse_agent.server.server import AgentServer
from synapse_agent.settings import Settings
from synapse_agent.storage.address_file import address_kept
from synapse_agent.util.standard_streams import abandon

logger = logging.getLogger(__name__)


def serve_until_stopped(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends running actions at once. SIGHUP renews a certificate."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    for library in ("httpx", "httpx2"):  # they log whole addresses, and that of an archive can hold a signature
        logging.getLogger(library).setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    server = AgentServer(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    if settings.tls_cert:
        loop.add_signal_handler(signal.SIGHUP, server.renew_certificate)
    with ExitStack() as ending:

        def ready(base_url: str) -> None:
            ending.enter_context(address_kept(settings.data_dir, base_url))
            _say_ready(base_url)

        await server.run(on_ready=ready)


def _say_ready(base_url: str) -> None:
    try:
        sys.stdout.write(f"ready {base_url}\n")
        sys.stdout.flush()
    except OSError as error:
        abandon(sys.stdout)
        logger.warning("`ready %s` could not be written to standard output: %s.", base_url, error.strerror)
