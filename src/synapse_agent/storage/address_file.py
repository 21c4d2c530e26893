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
    try:
        base_url, pid = (data_dir / ADDRESS_FILE).read_text(encoding="utf-8").split()
        os.kill(int(pid), 0)
    except (OSError, ValueError):
        return None
    return base_url
