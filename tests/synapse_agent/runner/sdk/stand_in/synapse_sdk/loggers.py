"""The loggers of actions."""

from __future__ import annotations


class BaseLogger:
    """Checks its messages, and passes them on."""

    def set_progress(self, current, total, _step=None):
        if not 0 <= current <= total:
            raise ValueError(f"current must be between 0 and {total}, got {current}")

    def log(self, level, event, data, file=None, step=None):
        self._log_impl(event, data, file, step, level)
