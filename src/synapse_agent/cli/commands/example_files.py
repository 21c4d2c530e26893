"""The example plugins of the package: beside its code in a wheel, in `examples/` in a checkout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

CHECKOUT = Path(__file__).parents[4] / "examples"


@contextmanager
def example_files() -> Iterator[Path]:
    """Yield the folder that contains `plugins/` and `data/`."""
    shipped = files("synapse_agent") / "examples"
    if not shipped.is_dir():
        yield CHECKOUT
        return
    with as_file(shipped) as folder:
        yield folder
