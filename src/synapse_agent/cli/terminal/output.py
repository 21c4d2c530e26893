"""A command's output: results on stdout, everything else on stderr."""

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
    "backup",
    "environments",
    "files",
    "findings",
    "gpus",
    "health",
    "job",
    "jobs",
    "nodes",
    "release",
    "releases",
    "storages",
    "served",
    "served_action",
    "value",
    "whole_job",
]
"""A function of `views`, which is imported for a terminal only, since importing Rich is slow."""


_OVERWRITTEN = re.compile(r"[^\r\n]*\r(?!\r*\n)")


class ReaderLeft(Exception):
    """The reader of the results has closed the pipe, as `head` does."""


class Output:
    """Writes results as JSON in pipes or if requested, readable on a terminal."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.stdout = sys.stdout
        self.stderr = sys.stderr
        self.is_quiet = quiet
        self.is_json = as_json or not self.stdout.isatty()
        self._is_overwriting = False

    @cached_property
    def console(self) -> Console:
        """The terminal for results."""
        return _console(self.stdout)

    @cached_property
    def notes(self) -> Console:
        """The terminal for everything else."""
        return _console(self.stderr)

    def result(self, value: Any, view: View) -> None:
        """Write the command's result."""
        if self.is_json:
            self.json_line(value, indent=2)
        else:
            from synapse_agent.cli.terminal import views

            self.console.print(getattr(views, view)(value))

    def json_line(self, value: Any, *, indent: int | None = None) -> None:
        """Write a value as JSON, in ASCII if stdout can't encode more."""
        try:
            self._write(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")
        except UnicodeEncodeError:
            self._write(json.dumps(value, indent=indent) + "\n")

    def text(self, text: str) -> None:
        """Write text that is a result, without control sequences, with escapes for what stdout can't encode."""
        try:
            self._write(text)
        except UnicodeEncodeError:
            encoding = self.stdout.encoding
            self._write(text.encode(encoding, "backslashreplace").decode(encoding))

    def log(self, text: str) -> None:
        """Write a log; on a terminal, only the last of lines that overwrite each other, such as progress bars."""
        self.text(_OVERWRITTEN.sub("", text) if self.stdout.isatty() else text)

    def log_line(self, line: str, *, overwritten: bool) -> None:
        """Write a line of a log; on a terminal, the next line replaces one marked as overwritten."""
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
        """Write a note to stderr, except with --quiet."""
        if not self.is_quiet:
            warn(safe(text))

    @property
    def is_animated(self) -> bool:
        """Whether something may move on stderr."""
        return not self.is_quiet and self.stderr.isatty() and self.notes.is_interactive


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=False)
