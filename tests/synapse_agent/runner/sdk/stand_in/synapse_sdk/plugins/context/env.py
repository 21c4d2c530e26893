"""Environment variables."""

from __future__ import annotations

import os


class PluginEnvironment(dict):
    """Those of the process."""

    @classmethod
    def from_environ(cls):
        return cls(os.environ)
