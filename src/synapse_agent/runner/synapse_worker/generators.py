"""Random generators after a fork: each run gets new ones, unless the imports set a seed.

Python seeds its own generator in each new process, and loses a seed that was set before. Other libraries don't notice
forks: without a new seed, all runs would draw the same numbers.
"""

from __future__ import annotations

import gc
import random
import sys
from typing import Any

_LEAST_ENTROPY = 2**96
"""numpy takes 128 bits from the system by default; explicit seeds are smaller."""
_LEAST_TORCH_SEED = 2**32
"""torch takes 53 bits by default."""


class Generators:
    """The generators created by a zygote's imports."""

    def __init__(self) -> None:
        """Start to watch for seeds."""
        self._seed = random.Random.seed
        self._seeded: set[int] = set()
        self._state: Any = None
        """State of Python's own generator, if it was seeded."""
        self._of_python: list[random.Random] = []
        self._of_numpy: list[Any] = []
        self._of_torch: list[Any] = []
        original, seeded = self._seed, self._seeded

        def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
            (seeded.discard if a is None else seeded.add)(id(self))
            original(self, a, version)

        _replace_seed(seed)

    def examine(self) -> None:
        """Find the generators without an explicit seed."""
        _replace_seed(self._seed)
        own: random.Random = random._inst  # behind `random.random` and the like
        if id(own) in self._seeded:
            self._state = own.getstate()
        bit_generator = getattr(sys.modules.get("numpy.random"), "BitGenerator", None)
        for each in gc.get_objects():
            kind = type(each)
            if issubclass(kind, random.Random) and not issubclass(kind, random.SystemRandom) and each is not own:
                self._of_python += [] if id(each) in self._seeded else [each]
            elif bit_generator is not None and issubclass(kind, bit_generator) and not _is_seeded(each):
                self._of_numpy.append(each)
        of_torch = getattr(sys.modules.get("torch"), "default_generator", None)
        if of_torch is not None and of_torch.initial_seed() >= _LEAST_TORCH_SEED:
            self._of_torch.append(of_torch)

    def reseed(self) -> None:
        """Seed them again, in a process that was just forked."""
        if self._state is not None:
            random.setstate(self._state)
        for each in (*self._of_python, *self._of_torch):
            each.seed()
        for each in self._of_numpy:
            each.state = type(each)().state


def _replace_seed(method: Any) -> None:
    random.Random.seed = method  # type: ignore[method-assign]
    random.seed = random._inst.seed


def _is_seeded(generator: Any) -> bool:
    """Return whether a numpy bit generator was given a seed, at its start or later."""
    sequence = getattr(generator, "seed_seq", None) or getattr(generator, "_seed_seq", None)
    entropy = getattr(sequence, "entropy", None)  # `numpy.random.seed` leaves no sequence
    return not isinstance(entropy, int) or entropy < _LEAST_ENTROPY
