"""Protect the secrets of this process, on its command line and in its memory, from other processes of the machine."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

from synapse_agent.options import option_name, variable_name
from synapse_agent.settings import Settings

OPTIONS = tuple(option_name(setting) for setting in fields(Settings) if not setting.repr)
"""Options whose values are secrets."""
VARIABLES = (*map(variable_name, OPTIONS), "SYNAPSE_BACKEND_TOKEN", "SYNAPSE_USER_TOKEN", "SYNAPSE_TENANT")
"""Environment variables that hold secrets."""
Span = tuple[int, int]
"""Start and end."""

_PR_SET_DUMPABLE = 4
_ARG_START = 45
"""Index of `arg_start` among the fields of `/proc/PID/stat` after the program's name; see `proc(5)`."""
_FILLER = ord("*")


def keep_to_itself() -> None:
    """Make this process unreadable for other processes of its user, and erase the secrets from its start.

    No debugger and no other process of the user can then inspect it, and it leaves no core file; root still can.
    Variables with secrets are removed from `os.environ`. The environment and command line in `/proc` are
    overwritten, which changing `os.environ` does not do.
    """
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    for name in VARIABLES:
        os.environ.pop(name, None)
    arguments, environment = _areas()
    _overwrite(arguments, option_values)
    _overwrite(environment, variable_values)


def option_values(arguments: bytes) -> Iterator[Span]:
    """Find the secrets in a command line, whose arguments each end in a NUL."""
    is_secret = False
    for start, end in _items(arguments):
        name, equals, _ = arguments[start:end].partition(b"=")
        if is_secret:
            yield start, end
        elif equals and name.decode(errors="replace") in OPTIONS:
            yield start + len(name) + 1, end
        is_secret = not equals and name.decode(errors="replace") in OPTIONS


def variable_values(environment: bytes) -> Iterator[Span]:
    """Find the secrets in an environment, whose `NAME=value` entries each end in a NUL."""
    for start, end in _items(environment):
        name, equals, _ = environment[start:end].partition(b"=")
        if equals and name.decode(errors="replace") in VARIABLES:
            yield start + len(name) + 1, end


def _items(block: bytes) -> Iterator[Span]:
    start = 0
    for item in block.split(b"\0"):
        yield start, start + len(item)
        start += len(item) + 1


def _areas() -> tuple[Span, Span]:
    """Return the addresses of the command line and of the environment in this process's memory."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end, env_start, env_end = map(int, fields[_ARG_START : _ARG_START + 4])
    return (start, end), (env_start, env_end)


def _overwrite(area: Span, find: Callable[[bytes], Iterator[Span]]) -> None:
    address, end = area
    for start, stop in find(ctypes.string_at(address, end - address)):
        ctypes.memset(address + start, _FILLER, stop - start)
