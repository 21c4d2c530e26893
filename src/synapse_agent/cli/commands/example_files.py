"""The example plugins, which come with the package: beside its code in a wheel, in `examples/` in a checkout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

CHECKOUT = Path(__file__).parents[4] / "examples"


@contextmanager
def example_files() -> Iterator[Path]:
    """Give the folder with `plugins/` and `data/` for as long as the block runs."""
    shipped = files("synapse_agent") / "examples"
    if not shipped.is_dir():
        yield CHECKOUT
        return
    with as_file(shipped) as folder:
        yield folder
