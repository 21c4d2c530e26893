"""Why an agent does not start."""

from __future__ import annotations


class StartError(Exception):
    """The agent cannot start; the message is one line that ends with what to do."""

    exit_code = 1


class UsageError(StartError):
    """Settings that are invalid, or exclude each other."""

    exit_code = 2
