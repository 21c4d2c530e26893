"""Where an agent that is served can be found: a file in its data folder, which counts while its process is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ADDRESS_FILE = "address"


@contextmanager
def address_kept(data_dir: Path, base_url: str) -> Iterator[None]:
    """Keep the address in the data folder as long as the block runs.

    One that can't be kept is no reason not to serve.
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
    """Return the address that was kept there, None where there is none or its agent was killed.

    What listens there then may be anybody's, and is not to get the agent's token.
    """
    try:
        base_url, pid = (data_dir / ADDRESS_FILE).read_text(encoding="utf-8").split()
        os.kill(int(pid), 0)
    except (OSError, ValueError):
        return None
    return base_url
