"""Limits the file descriptors of this process."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def descriptors(*, free: int) -> Iterator[None]:
    """Allow this process only a number of additional descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    there = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    gaps = [os.dup(0) for number in range(max(there)) if number not in there]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(there) + 1 + free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for gap in gaps:
            os.close(gap)
