"""Close inherited locks and connections in forked processes, in which they would outlive their owner."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

_DESCRIPTORS = Path("/proc/self/fd")
T = TypeVar("T")

_folders: list[str] = []
_ports: list[int] = []


@contextmanager
def folder_withheld(folder: Path) -> Iterator[None]:
    """While the block runs, close files below a folder in forked processes, which can't use databases."""
    with _listed(_folders, f"{os.path.realpath(folder)}/"):
        yield


@contextmanager
def port_withheld(port: int) -> Iterator[None]:
    """Close the sockets of a local TCP port in forked processes, while the block runs."""
    with _listed(_ports, port):
        yield


@contextmanager
def _listed(entries: list[T], entry: T) -> Iterator[None]:
    entries.append(entry)
    try:
        yield
    finally:
        entries.remove(entry)


def _let_go() -> None:
    """Replace each descriptor by `/dev/null`: its number must stay taken, since its object may close it again."""
    if not (_folders or _ports):
        return
    devnull = os.open(os.devnull, os.O_RDWR)
    for link in list(_DESCRIPTORS.iterdir()):
        with suppress(OSError):  # such as the descriptor that lists them
            if int(link.name) != devnull and _is_withheld(link):
                os.dup2(devnull, int(link.name), inheritable=False)
    os.close(devnull)


def _is_withheld(link: Path) -> bool:
    target = str(link.readlink())
    if not target.startswith("socket:"):
        return target.startswith(tuple(_folders))
    with socket.socket(fileno=os.dup(int(link.name))) as copy:
        is_tcp = copy.family in (socket.AF_INET, socket.AF_INET6) and copy.type == socket.SOCK_STREAM
        return is_tcp and copy.getsockname()[1] in _ports


os.register_at_fork(after_in_child=_let_go)
