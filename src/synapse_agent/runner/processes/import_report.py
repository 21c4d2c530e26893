"""A run's report of its imports. A plugin can forge it, so it only decides what to import ahead."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from synapse_agent.runner.synapse_worker import protocol

_LONGEST_SECONDS = 86_400.0
_MOST_NAMES = 200


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How long a run's imports took, in seconds."""

    seconds: float = 0.0
    """All of them."""
    installed: float = 0.0
    """Those from outside the plugin."""
    modules: Mapping[str, float] = field(default_factory=dict)
    """Modules that the plugin's own code imports, with the seconds of each."""


NO_REPORT = ImportReport()


def read_report(payload: bytes) -> ImportReport:
    """Parse the payload of an `IMPORTS` report; an invalid one is empty."""
    try:
        seconds, installed = protocol.IMPORT_TIMES.unpack_from(payload)
        lines = payload[protocol.IMPORT_TIMES.size :].decode("ascii").splitlines()[:_MOST_NAMES]
        modules = {name: _checked(float(text)) for name, _, text in (line.partition(" ") for line in lines)}
    except (ValueError, struct.error):
        return NO_REPORT
    if not all(part.isidentifier() for name in modules for part in name.split(".")):
        return NO_REPORT
    try:
        return ImportReport(_checked(seconds), _checked(installed), modules)
    except ValueError:
        return NO_REPORT


def _checked(seconds: float) -> float:
    if not 0 <= seconds <= _LONGEST_SECONDS:
        raise ValueError(f"{seconds} s is not a valid duration of imports")
    return seconds
