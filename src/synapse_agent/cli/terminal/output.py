"""What a command says: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import re
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TextIO

from synapse_agent.cli.terminal.sanitize import safe
from synapse_agent.util.standard_streams import warn

if TYPE_CHECKING:
    from rich.console import Console

View = Literal[
    "agents",
    "environments",
    "findings",
    "gpus",
    "health",
    "job",
    "jobs",
    "nodes",
    "release",
    "releases",
    "storages",
    "value",
]
"""A function of `views`, which is imported for a terminal only, as Rich takes its time."""


_OVERWRITTEN = re.compile(r"[^\r\n]*\r(?!\r*\n)")


class ReaderLeft(Exception):
    """Whoever read the results has heard enough, as `head` does."""


class Output:
    """Results as JSON where they are piped or where that was asked for, readable on a terminal."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.stdout = sys.stdout
        self.stderr = sys.stderr
        self.is_quiet = quiet
        self.is_json = as_json or not self.stdout.isatty()
        self._is_overwriting = False

    @cached_property
    def console(self) -> Console:
        """The terminal that results are shown on."""
        return _console(self.stdout)

    @cached_property
    def notes(self) -> Console:
        """The terminal that everything else is shown on."""
        return _console(self.stderr)

    def result(self, value: Any, view: View) -> None:
        """Write what the command was for."""
        if self.is_json:
            self.json_line(value, indent=2)
        else:
            from synapse_agent.cli.terminal import views

            self.console.print(getattr(views, view)(value))

    def json_line(self, value: Any, *, indent: int | None = None) -> None:
        """Write a value as JSON, in ASCII where stdout can't take more."""
        try:
            self._write(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")
        except UnicodeEncodeError:
            self._write(json.dumps(value, indent=indent) + "\n")

    def text(self, text: str) -> None:
        """Write text that is a result: without what a terminal would obey, with escapes for what stdout can't take."""
        try:
            self._write(text)
        except UnicodeEncodeError:
            encoding = self.stdout.encoding
            self._write(text.encode(encoding, "backslashreplace").decode(encoding))

    def log(self, text: str) -> None:
        """Write a log; a terminal gets of lines that overwrite each other, as progress bars do, the last."""
        self.text(_OVERWRITTEN.sub("", text) if self.stdout.isatty() else text)

    def log_line(self, line: str, *, overwritten: bool) -> None:
        """Write a line of a log; on a terminal the next one takes the place of one that is overwritten."""
        if not self.stdout.isatty():
            self.text(f"{line}{chr(13) if overwritten else chr(10)}")
            return
        self.stdout.write("\r\x1b[2K" if self._is_overwriting else "")
        self._is_overwriting = overwritten
        self.text(line if overwritten else f"{line}\n")

    def _write(self, text: str) -> None:
        try:
            self.stdout.write(safe(text) if self.stdout.isatty() else text)
            self.stdout.flush()
        except BrokenPipeError as error:
            raise ReaderLeft from error

    def note(self, text: str) -> None:
        """Say something to whoever watches, unless they want quiet."""
        if not self.is_quiet:
            warn(safe(text))

    @property
    def is_animated(self) -> bool:
        """Whether something may move on stderr."""
        return not self.is_quiet and self.stderr.isatty() and self.notes.is_interactive


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=False)
