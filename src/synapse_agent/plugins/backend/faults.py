"""What can go wrong between the agent and a backend."""

from __future__ import annotations


class BackendFault(Exception):
    """Why something cannot be had; the message goes on from a subject such as "its archive"."""


class NotThere(BackendFault):
    """The backend answers, and does not have it."""
