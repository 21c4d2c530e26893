"""Output on stderr during a long operation: its lines, progress and phase."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from synapse_agent.cli.terminal.output import Output
from synapse_agent.cli.terminal.sanitize import one_line, safe

if TYPE_CHECKING:
    from rich.progress import Progress

SECONDS_BETWEEN_PROGRESS = 2.0
LONGEST_PHASE = 64


class Display(Protocol):
    """Shows a job's events while a `with` block runs."""

    @property
    def patience(self) -> float:
        """Seconds for showing the end of a log once the result has arrived."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def line(self, text: str) -> None:
        """Show one or more lines that stay."""

    def phase(self, text: str) -> None:
        """Show the current phase."""

    def progress(self, current: float, total: float | None) -> None:
        """Show the progress."""


def make_display(output: Output, phase: str, *, may_move: bool = True) -> Display:
    """Return the right display: moving on a terminal, lines elsewhere, nothing with --quiet."""
    if output.is_quiet:
        return Silence()
    return Animation(output, phase) if may_move and output.is_animated else Lines(output)


class Silence:
    """Shows nothing."""

    patience = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Do nothing: there is nothing to clear."""

    def line(self, text: str) -> None:
        """Show nothing."""

    def phase(self, text: str) -> None:
        """Show nothing."""

    def progress(self, current: float, total: float | None) -> None:
        """Show nothing."""


class Lines(Silence):
    """Shows lines that stay; progress every other second, and the last."""

    patience = math.inf  # a pipe or a file gets all of the log

    def __init__(self, output: Output) -> None:
        self._output = output
        self._shown_at = float("-inf")

    def line(self, text: str) -> None:
        """Write the line."""
        self._output.note(text)

    def progress(self, current: float, total: float | None) -> None:
        """Write the progress, unless one was written just now."""
        is_last = total is not None and current >= total
        if is_last or time.monotonic() - self._shown_at >= SECONDS_BETWEEN_PROGRESS:
            self._shown_at = time.monotonic()
            of = "" if total is None else f" of {total:g}"
            self._output.note(f"progress: {current:g}{of}")


class Animation:
    """Shows a moving line below those that stay, and removes it in the end."""

    patience = 2.0

    def __init__(self, output: Output, phase: str) -> None:
        self._output = output
        self._first_phase = phase

    def __enter__(self) -> Self:
        self._progress = _progress(self._output)
        self._task = self._progress.add_task(self._short(self._first_phase), total=None)
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def line(self, text: str) -> None:
        """Show a line above the moving one."""
        from rich.text import Text

        self._output.notes.print(Text(safe(text), "dim"), soft_wrap=True)

    def phase(self, text: str) -> None:
        """Show the current phase."""
        self._progress.update(self._task, description=self._short(text))

    def progress(self, current: float, total: float | None) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=current, total=total)

    def _short(self, text: str) -> str:
        return one_line(text, longest=LONGEST_PHASE)


def _progress(output: Output) -> Progress:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=output.notes,
        transient=True,
    )
