"""Ctrl-C as something to read, rather than an exception that can strike anywhere."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_told(tell: Callable[[], object]) -> Iterator[None]:
    """Call `tell` for each Ctrl-C while the block runs; it is called amid other work, and must only take a note."""
    if threading.current_thread() is not threading.main_thread():  # where Python lets nobody catch signals
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: tell())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
