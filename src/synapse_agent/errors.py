"""Why an agent does not start."""

from __future__ import annotations


class StartError(Exception):
    """The agent cannot start; the message is one line that says what to do."""

    exit_code = 1


class UsageError(StartError):
    """The agent was told things that don't go together."""

    exit_code = 2
