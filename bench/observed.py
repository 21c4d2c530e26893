"""The share of an agent's metrics, or of its log, in a warm run, in seconds: `python bench/observed.py figures|log`."""

from __future__ import annotations

import io
import logging
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from synapse_agent.observe.logs import configure_logging, log_change
from synapse_agent.observe.metrics import Metrics
from synapse_agent.observe.requests import AccessLog, RequestReport
from synapse_agent.settings import Settings
from synapse_agent.util.changes import Change

RUNS, ROUNDS = 500, 9
RELEASE = {"release": "adder@1.0.0", "action": "add"}
TIMINGS = {"queued": 0.001, "environment": 0.0, "import": 0.0, "action": 0.002}
CHANGES = [
    *(
        Change("job", what, "a" * 32, {**RELEASE, "seconds": 0.001}, is_detail=True)
        for what in ("queued", "environment ready", "started")
    ),
    Change("job", "ended", "a" * 32, {**RELEASE, "status": "SUCCEEDED", "seconds": 0.002, "timings": TIMINGS}),
]
"""What an agent publishes of one run."""
PATH = "/plugin_releases/{lookup}/run/"
REQUEST = RequestReport("POST", PATH, PATH, 200, 0.004, None, "default", "127.0.0.1", "b" * 32)


def main(what: str) -> None:
    """Report runs as an agent does, some hundred a few times, and print the median of one."""
    configure_logging(Settings(data_dir=Path.cwd()))
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(io.StringIO())
    metrics, access = Metrics([]), AccessLog("changes")
    on_change, on_request = (log_change, access.log) if what == "log" else (metrics.note_change, metrics.note_request)

    def run() -> None:
        for change in CHANGES:
            on_change(change)
        on_request(REQUEST)

    print(statistics.median(_timed(run) for _ in range(ROUNDS)) / RUNS)


def _timed(run: Callable[[], None]) -> float:
    began = time.process_time()
    for _ in range(RUNS):
        run()
    return time.process_time() - began


if __name__ == "__main__":
    main(sys.argv[1])
