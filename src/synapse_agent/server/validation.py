"""Check the parts of a request against the contract's schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any


class Schema:
    """A schema of the contract, compiled for checking values when it is first used."""

    def __init__(self, definition: Mapping[str, Any]) -> None:
        self.definition = definition

    def check(self, value: Any, *, at: Iterable[str]) -> Any:
        """Return the value as the schema reads it, or raise `InvalidRequest` with locations that begin with `at`."""
        return self._check(value, at)

    @cached_property
    def _check(self) -> Callable[[Any, Iterable[str]], Any]:
        # Imported late, since with pydantic it takes a third of the time of a whole start.
        from synapse_agent.server.compiled_schema import compiled

        return compiled(self.definition)
