"""The lower bound for creating an environment: uv twice, with a warm cache, and a start of the interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path

from subjects.facade import Run, repeat
from subjects.payload import LARGE, SMALL

from synapse_agent.runner.environments.pip_config import uv_options, uv_settings

UV = Path(sys.executable).with_name("uv")
PYTHON = sys._base_executable  # type: ignore[attr-defined] # what a virtual environment is made from


def new(_: str, requirements: Sequence[str]) -> Run:
    """Make an environment with requirements that no call before had, and start its interpreter."""
    environ = {**os.environ, **uv_settings(os.environ), "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    home, numbers = Path(tempfile.mkdtemp(dir=Path(sys.prefix).parent, prefix="uv-")), count()

    def call() -> None:
        number = next(numbers)
        folder, wanted = home / str(number), [f"{name}>=0.{number}" for name in requirements]
        python, options = folder / "bin" / "python", ["--offline", *uv_options(os.environ)]
        for command in (
            [UV, "venv", "--quiet", "--relocatable", "--python", PYTHON, folder],
            [UV, "pip", "install", "--quiet", *options, "--python", python, "--", *wanted],
            [python, "-c", "pass"],
        ):
            subprocess.run(command, env=environ, check=True)

    return repeat(call)


SCENARIOS = {"new_small": partial(new, requirements=SMALL), "new_large": partial(new, requirements=LARGE)}
