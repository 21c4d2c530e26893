"""The modules that a zygote may import unasked, because tests show that they survive a fork.

`tests/synapse_agent/runner/test_fork_safety.py` has a test for each name: add a test with each new one.
"""

from __future__ import annotations

PACKAGES = frozenset(
    [
        *("numpy", "scipy", "pandas", "sklearn", "matplotlib", "PIL", "cv2", "torch", "pyarrow"),
        *("pydantic", "requests", "httpx", "lxml", "synapse_sdk"),
    ]
)
"""Installed packages, by import name."""
LIBRARY = frozenset(
    [
        *("asyncio", "concurrent", "csv", "ctypes", "datetime", "decimal", "email", "fractions", "hashlib", "html"),
        *("http", "inspect", "json", "logging", "multiprocessing", "pathlib", "pickle", "random", "shutil", "socket"),
        *("sqlite3", "ssl", "statistics", "subprocess", "tempfile", "typing", "unittest", "urllib", "uuid", "xml"),
        "zipfile",
    ]
)
"""The slower modules of the standard library."""
