"""A pseudo-terminal with an emulator, in which a program runs, and whose screen can be read."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import pyte
from forked import ON_TERMINAL, Command

PATIENCE = 60.0


class Terminal:
    """A program on a terminal, from its start to its end."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        columns: int = 100,
        lines: int = 60,
        stdout: int | None = None,
        cwd: str | None = None,
    ) -> None:
        self._controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.written = b""
        # With setsid, the terminal belongs to the program, so that Ctrl-C on it is a signal.
        self.process = Command(
            [*ON_TERMINAL, *command],
            env=dict(env),
            cwd=cwd,
            stdin=terminal,
            stdout=terminal if stdout is None else stdout,
            stderr=terminal,
        )
        os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._controller)

    @property
    def text(self) -> str:
        """The text on the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def press(self, keys: str) -> None:
        """Press keys: `\\x03` is Ctrl-C."""
        os.write(self._controller, keys.encode())

    def until(self, holds: Callable[[str], bool]) -> str:
        """Read until the screen shows something, and return it."""
        end = time.monotonic() + PATIENCE
        while not holds(self.text):
            assert time.monotonic() < end, self.text
            assert self._read(0.1) or self.process.poll() is None, self.text
        return self.text

    def ended(self) -> tuple[int, str]:
        """Read until the program has ended; return its exit code and the last screen."""
        end = time.monotonic() + PATIENCE
        while self._read(0.1) or self.process.poll() is None:
            assert time.monotonic() < end, self.text
        return self.process.wait(), self.text

    def _read(self, seconds: float) -> bool:
        if not select.select([self._controller], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._controller, 65536)
        except OSError:  # no process has the terminal open any more
            return False
        self.written += data
        self._stream.feed(data)
        return bool(data)
