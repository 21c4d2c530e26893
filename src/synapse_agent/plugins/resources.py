"""The resources that an action requests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from synapse_agent.util.sizes import LARGEST_NUMBER, parse_size

_NUMBERS = ("num_cpus", "num_gpus")
ASKED_BY_PARAMS = (*_NUMBERS, "memory")
"""The params of a call that `Resources.with_params` reads."""


@dataclass(frozen=True, slots=True)
class Resources:
    """A run's own resources on a node of a cluster, by the names of the public SDK and of Ray."""

    num_cpus: float = 1.0
    num_gpus: float = 0.0
    """Less than one is a share of one; more than one must be a whole number."""
    memory: int = 0
    """Bytes."""

    @classmethod
    def from_config(cls, entry: Mapping[str, Any]) -> Resources:
        """Parse an action's `resources`; raise `ValueError` with the invalid key."""
        unknown = sorted(entry.keys() - {*ASKED_BY_PARAMS})
        if unknown:
            raise ValueError(f"`{unknown[0]}` is not one of num_cpus, num_gpus and memory")
        numbers = {name: _number(name, entry[name]) for name in _NUMBERS if entry.get(name) is not None}
        return cls._of(**numbers, memory=_memory(entry["memory"]) if entry.get("memory") is not None else 0)

    def with_params(self, params: Mapping[str, Any]) -> Resources:
        """Override them by a call's params of the same names.

        Other values under such a name, for instance `num_gpus: "auto"`, are only for the action and don't
        count here.
        """
        if not params:
            return self
        asked: dict[str, Any] = {name: params[name] for name in _NUMBERS if _is_amount(params.get(name))}
        if _is_amount(params.get("memory")):
            asked["memory"] = int(params["memory"])
        elif isinstance(params.get("memory"), str):
            asked |= _readable_memory(params["memory"])
        return self._of(**{**self.as_dict(), **asked})

    def as_dict(self) -> dict[str, float]:
        """Return the amounts by name."""
        return {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus, "memory": self.memory}

    def __str__(self) -> str:
        """Format the resources for a message: `2 CPUs, 1 GPU, 1024 MiB of memory`."""
        parts = [f"{self.num_cpus:g} CPU{'' if self.num_cpus == 1 else 's'}"] if self.num_cpus else []
        parts += [f"{self.num_gpus:g} GPU{'' if self.num_gpus == 1 else 's'}"] if self.num_gpus else []
        parts += [f"{_size(self.memory)} of memory"] if self.memory else []
        return ", ".join(parts) or "nothing"

    @classmethod
    def _of(cls, **amounts: Any) -> Resources:
        made = cls(**amounts)
        return replace(made, num_gpus=float(math.ceil(made.num_gpus))) if made.num_gpus > 1 else made


def _size(count: int) -> str:
    return f"{count} bytes" if count < 2**20 else f"{count / 2**20:.0f} MiB"


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not _is_amount(number):
        raise ValueError(f"`{name}` is {value!r:.60}, not a number from 0 on")
    return number


def _memory(value: Any) -> int:
    if isinstance(value, str):
        try:
            return parse_size(value)
        except ValueError as error:
            raise ValueError(f"`memory` is not a size: {error}") from error
    return int(_number("memory", value))


def _readable_memory(text: str) -> dict[str, int]:
    try:
        return {"memory": parse_size(text)}
    except ValueError:
        return {}


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST_NUMBER
