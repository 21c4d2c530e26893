"""The modules that a zygote may import by itself, because tests show that they survive a fork.

`tests/synapse_agent/runner/test_fork_safety.py` has a test for each name: add one with it.
"""

from __future__ import annotations

PACKAGES = frozenset(
    [
        *("numpy", "scipy", "pandas", "sklearn", "matplotlib", "PIL", "cv2", "torch", "pyarrow"),
        *("pydantic", "requests", "httpx", "lxml", "synapse_sdk"),
    ]
)
"""Installed ones, by the names that they are imported by."""
LIBRARY = frozenset(
    [
        *("asyncio", "concurrent", "csv", "ctypes", "datetime", "decimal", "email", "fractions", "hashlib", "html"),
        *("http", "inspect", "json", "logging", "multiprocessing", "pathlib", "pickle", "random", "shutil", "socket"),
        *("sqlite3", "ssl", "statistics", "subprocess", "tempfile", "typing", "unittest", "urllib", "uuid", "xml"),
        "zipfile",
    ]
)
"""The heavier ones of Python's own."""
