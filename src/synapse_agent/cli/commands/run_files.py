"""Files among the params of a command: uploaded before the run, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.terminal.display import make_display


def send_files(invocation: Invocation, params: dict[str, Any] | None) -> dict[str, Any] | None:
    """Upload the files that params mark with an `@`, and return the params with references in their places.

    Text that looks like a path on this machine stays text; a note explains how to send the file.
    """
    if params is None:
        return None
    for name, value in _like_files(params):
        invocation.output.note(
            f"{name}={value} is sent as text: to the action, it is a path on the agent's machine. To send the file:"
            f" -p {name}=@{value}"
        )
    return {name: _sent(invocation, value) if isinstance(value, Path) else value for name, value in params.items()}


def shown_bytes(show: Callable[[float, float | None], None]) -> Callable[[int, int], None]:
    """Return a callback that shows the progress of a transfer in MB, if it has at least one."""
    return lambda moved, size: show(round(moved / 1e6, 1), round(size / 1e6, 1)) if size >= 1e6 else None


def _sent(invocation: Invocation, path: Path) -> dict[str, Any]:
    with make_display(invocation.output, f"sending {path.name} (MB)") as display:
        return invocation.client.upload_file(path, on_progress=shown_bytes(display.progress))


def _like_files(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the texts that are relative paths of files here, which mean nothing on another machine."""
    for name, value in params.items():
        if isinstance(value, str) and _is_file(value):
            yield name, value


def _is_file(text: str) -> bool:
    try:
        return not text.startswith("/") and ("/" in text or "." in text) and Path(text).is_file()
    except (OSError, ValueError):  # too long for a path, or with a NUL
        return False
