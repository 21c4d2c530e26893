"""The address of a served agent: a file in its data folder, valid while its process runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ADDRESS_FILE = "address"


@contextmanager
def address_kept(data_dir: Path, base_url: str) -> Iterator[None]:
    """Store the address in the data folder while the block runs.

    An agent also serves if it can't be stored.
    """
    path = data_dir / ADDRESS_FILE
    with suppress(OSError):
        path.write_text(f"{base_url} {os.getpid()}\n", encoding="utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def kept_address(data_dir: Path) -> str | None:
    """Return the stored address; None if it is missing or its agent was killed.

    Another program may listen there then, which must not receive the agent's token.
    """
    base_url, is_running = _read(data_dir)
    return base_url if is_running else None


def address_of_killed(data_dir: Path) -> str | None:
    """Return the address of an agent that was killed, for a message; None if the last one was stopped or still runs."""
    base_url, is_running = _read(data_dir)
    return None if is_running else base_url


def _read(data_dir: Path) -> tuple[str | None, bool]:
    """Return the stored address, and whether its process runs."""
    try:
        base_url, pid = (data_dir / ADDRESS_FILE).read_text(encoding="utf-8").split()
        number = int(pid)
    except (OSError, ValueError):
        return None, False
    try:
        os.kill(number, 0)
    except OSError:
        return base_url, False
    return base_url, True
