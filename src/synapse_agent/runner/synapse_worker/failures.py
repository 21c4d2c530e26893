"""Describe why a run has no result."""

from __future__ import annotations

import os
import traceback
from types import TracebackType
from typing import Any

_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
_MAX_MESSAGE = 10_000
_MAX_TRACEBACK = 40_000


class ActionFailure(Exception):
    """Reported instead of a result; the agent chooses the status (see `processes.outcomes`)."""

    def __init__(self, error_type: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.fields: dict[str, Any] = {"error_type": error_type, "message": message, **extra}


def action_failed(error: BaseException, *, folder: str, hint: str = "") -> ActionFailure:
    """Describe an exception from the plugin's code; files in `folder` get the names that the plugin's author uses."""
    if isinstance(error, ModuleNotFoundError) and not hint:
        from .missing_modules import cure  # rarely needed

        hint = cure(error, folder)
    elif isinstance(error, MemoryError) and not hint:
        hint = _memory_limit()
    name, message = _name(type(error)), _shortened(_text(error), _MAX_MESSAGE)
    said = f"{name}: {message}" if message else name
    return ActionFailure(
        "action_failed",
        f"{said}. {hint}" if hint else said,
        exception_type=name,
        exception_message=message,
        traceback=_shortened(_traceback(error, folder).replace(folder + os.sep, ""), _MAX_TRACEBACK),
    )


def _memory_limit() -> str:
    """Name the agent's limit of this process's memory, if there is one."""
    import resource  # rarely needed

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return ""
    return f"The agent limits each process of a run to {limit / 2**20:.0f} MiB of memory (--max-memory)."


def _traceback(error: BaseException, folder: str) -> str:
    start = _first_frame(error.__traceback__, folder)
    try:
        return "".join(traceback.TracebackException(type(error), error, start).format())
    except Exception:  # a plugin's exception class may fail to format itself
        return "".join(traceback.format_tb(start)) + _name(type(error)) + "\n"


def _first_frame(frames: TracebackType | None, folder: str) -> TracebackType | None:
    """Return the first frame of the plugin's own code; without one, the first outside of the worker's."""
    listed: list[TracebackType] = []
    while frames is not None:
        listed.append(frames)
        frames = frames.tb_next
    own = (frame for frame in listed if _file(frame).startswith(folder + os.sep))
    foreign = (frame for frame in listed if not _file(frame).startswith(_OWN_FOLDER))
    return next(own, None) or next(foreign, None)


def _file(frame: TracebackType) -> str:
    return frame.tb_frame.f_code.co_filename


def _name(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # as above
        return "(its message cannot be shown)"


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters omitted ...\n{text[-half:]}"
