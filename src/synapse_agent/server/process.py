"""An agent as a separate process: signals, logging, the `ready` line."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from synapse_agent.observe.logs import configure_logging
from synapse_agent.runner.processes.run_cgroups import settle
from synapse_agent.runner.processes.sandbox import namespaces_missing
from synapse_agent.server.reaper import leave_process_one
from synapse_agent.settings import Settings
from synapse_agent.storage.address_file import address_kept
from synapse_agent.util.open_files import raise_limit
from synapse_agent.util.standard_streams import abandon

if TYPE_CHECKING:
    from synapse_agent.server.server import AgentServer

logger = logging.getLogger(__name__)

ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
WITHOUT_MEANING = (signal.SIGUSR1, signal.SIGUSR2)
"""Without a handler they would kill the process; ignoring them would be inherited by started processes."""
_OBJECTS = 10_000
"""Number of new objects after which Python looks for reference cycles; its default is much smaller."""


def serve_until_stopped(settings: Settings) -> None:
    """Serve until a signal of `ENDINGS`; a second one ends running actions at once. SIGHUP renews a certificate.

    At SIGTERM jobs continue if processes outlive this one, as they do not in a container of which it is process 1.
    """
    if os.getpid() == 1:
        settings = replace(settings, stop_runs=True)
    leave_process_one()
    raise_limit()
    configure_logging(settings)
    settle()
    if settings.sandbox:
        Thread(target=namespaces_missing, daemon=True).start()
    import uvloop  # this and the rest of the agent are imported while the other process tries

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from synapse_agent.server.server import AgentServer

    server = AgentServer(settings)
    _handle_signals(server, leaves_jobs=not settings.stop_runs)
    with ExitStack() as ending:

        def ready(base_url: str) -> None:
            ending.enter_context(address_kept(settings.data_dir, base_url))
            _say_ready(base_url)
            asyncio.get_running_loop().run_in_executor(None, _complete_start)

        await server.run(on_ready=ready)


def _complete_start() -> None:
    """Import what the first request with a parameter or a body needs, while the agent already responds to others.

    From then on, Python looks for reference cycles less often, and never among the objects of the start.
    """
    import synapse_agent.server.compiled_schema  # noqa: F401

    gc.freeze()
    gc.set_threshold(_OBJECTS)


def _handle_signals(server: AgentServer, *, leaves_jobs: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in ENDINGS:
        loop.add_signal_handler(number, partial(server.stop, leaves_jobs=leaves_jobs and number == signal.SIGTERM))
    for number in WITHOUT_MEANING:
        loop.add_signal_handler(number, logger.info, "Ignored the signal %s.", number.name)
    # Under `nohup`, SIGHUP stays ignored: the agent must outlive its terminal.
    ends_with_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()

    def hang_up() -> None:
        if not ends_with_terminal or _has_terminal():
            server.renew_certificate()
        elif not server.is_stopping:  # both kernel and shell may report the same end
            server.stop()

    loop.add_signal_handler(signal.SIGHUP, hang_up)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _say_ready(base_url: str) -> None:
    try:
        sys.stdout.write(f"ready {base_url}\n")
        sys.stdout.flush()
    except OSError as error:
        abandon(sys.stdout)
        logger.warning("`ready %s` could not be written to standard output: %s.", base_url, error.strerror)
