"""Log requests that matter to operators."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from synapse_agent.observe.logs import log_facts

logger = logging.getLogger(__name__)

LONGEST_PATH = 300
READING = ("GET", "HEAD")


@dataclass(slots=True)  # not frozen: that takes three times as long for each request
class RequestReport:
    """A request with its response."""

    method: str
    path: str
    """As sent, without its query."""
    route: str
    """The path in the contract; empty for an unknown path."""
    status: int
    """0 if the client disconnected before."""
    seconds: float
    error_type: str | None
    token: str | None
    """The name of its token."""
    address: str | None
    request_id: str


class AccessLog:
    """Logs requests: `all`, those that change something or fail (`changes`), or `none`."""

    def __init__(self, mode: str) -> None:
        self._mode = mode

    def log(self, report: RequestReport) -> None:
        """Log a request if it matters."""
        if self._mode == "none" or not logger.isEnabledFor(logging.INFO):
            return
        if self._mode == "changes" and report.method in READING and 0 < report.status < 400:
            return
        facts = {
            "status": report.status or "gone",
            "error_type": report.error_type,
            "seconds": round(report.seconds, 6),
            "token": report.token,
            "address": report.address,
            "request_id": report.request_id,
        }
        known = {name: value for name, value in facts.items() if value is not None}
        log_facts(logger, logging.INFO, f"{report.method} {report.path[:LONGEST_PATH]}", known)
