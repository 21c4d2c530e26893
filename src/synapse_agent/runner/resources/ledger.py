"""The resources of a machine that are in use, and whether the rest suffices for a run. No I/O and no waiting here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from synapse_agent.plugins.resources import Resources
from synapse_agent.runner.resources.machine import Machine

GPUS, MEMORY, CPUS = "gpus", "memory", "cpus"
KINDS = (GPUS, MEMORY, CPUS)
"""The scarcest first: a run that waits for one of these reserves what it needs of that one and of those before it."""
_EPSILON = 1e-6


class Lane(Enum):
    """The kind of work."""

    __hash__ = object.__hash__  # that of `Enum` is written in Python, and lanes are keys of what each run changes

    AWAITED = "awaited"
    """A run whose caller waits for the result: it may use the reserved slots."""
    BACKGROUND = "background"
    """A run whose caller does not wait."""
    RESIDENT = "resident"
    """A process that stays, such as a served model's: it needs no slot and no CPUs, since it is mostly idle."""


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """The resources that a run requests, and its place in the queue."""

    wanted: Resources = Resources()  # noqa: RUF009 - immutable
    release: str | None = None
    """The release whose turn it uses; None for debug runs, which share one turn."""
    lane: Lane = Lane.AWAITED
    priority: int = 0
    """Compared with the runs of its release; higher ones start first."""
    accepted: int = 0
    """Its number among the accepted runs: with the same priority, earlier ones start first."""


@dataclass(slots=True)
class Ledger:
    """Counts the resources that runs hold.

    Awaited calls always get the CPUs of the reserved slots: for them, other runs count as holding at most the remaining
    CPUs. So a call starts beside a run that holds all CPUs, and the two share them.
    """

    machine: Machine
    gpus: list[float]
    """The free part of each GPU; negative if reserved for a waiting run."""
    memory: float = 0.0
    slots: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(Lane, 0))
    cpus: dict[Lane, float] = field(default_factory=lambda: dict.fromkeys(Lane, 0.0))

    @classmethod
    def of(cls, machine: Machine) -> Ledger:
        """Start with nothing in use."""
        return cls(machine, [1.0] * len(machine.gpus or ()))

    def copy(self) -> Ledger:
        """Return a copy for trying assignments."""
        return Ledger(self.machine, list(self.gpus), self.memory, dict(self.slots), dict(self.cpus))

    def has_slot(self, lane: Lane) -> bool:
        """Return whether another run of its lane may start, regardless of resources."""
        slots, reserve = self.machine.slots, self.machine.reserve
        awaited, others = self.slots[Lane.AWAITED], self.slots[Lane.BACKGROUND]
        if lane is Lane.BACKGROUND:
            return others < slots - reserve and awaited + others < slots
        return lane is Lane.RESIDENT or awaited + others < slots

    def lacks(self, request: ResourceRequest) -> str | None:
        """Return the first kind of resource that a request has to wait for; None if all is free."""
        if self.choose(request.wanted.num_gpus) is None:
            return GPUS
        if request.wanted.memory and self.memory + request.wanted.memory > self.machine.memory:
            return MEMORY
        needs_cpus = request.wanted.num_cpus and request.lane is not Lane.RESIDENT
        if needs_cpus and self._cpus(request) + request.wanted.num_cpus > self._all_cpus + _EPSILON:
            return CPUS
        return None

    def choose(self, num_gpus: float, *, even_if_taken: bool = False) -> tuple[int, ...] | None:
        """Choose GPUs by index: for a fraction, the fullest with room, so that whole ones stay free.

        Returns None if there are not enough; with `even_if_taken`, the least used ones instead.
        """
        if not num_gpus or self.machine.gpus is None:
            return ()
        share, count = min(num_gpus, 1.0), max(1, int(num_gpus))
        fullest_first = sorted(range(len(self.gpus)), key=lambda place: self.gpus[place])
        with_room = [place for place in fullest_first if self.gpus[place] + _EPSILON >= share]
        if len(with_room) >= count:
            return tuple(sorted(with_room[:count]))
        return tuple(fullest_first[-count:]) if even_if_taken else None

    def take(self, request: ResourceRequest, gpus: tuple[int, ...]) -> None:
        """Count the resources that a run now holds."""
        self._add(request, gpus, 1, KINDS)
        self.slots[request.lane] += 1

    def give_back(self, request: ResourceRequest, gpus: tuple[int, ...]) -> None:
        """Release a run's resources."""
        self._add(request, gpus, -1, KINDS)
        self.slots[request.lane] -= 1

    def keep(self, request: ResourceRequest, lacking: str) -> None:
        """Reserve what a run needs of the kind that it waits for, and of scarcer kinds: no later run can take that."""
        gpus = self.choose(request.wanted.num_gpus, even_if_taken=True) or ()
        self._add(request, gpus, 1, KINDS[: KINDS.index(lacking) + 1])

    @property
    def _all_cpus(self) -> float:
        """The CPUs for runs: more than the machine's if the operator allows more runs at once."""
        return max(self.machine.cpus, self.machine.slots)

    def _cpus(self, request: ResourceRequest) -> float:
        others = self.cpus[Lane.BACKGROUND]
        if request.lane is Lane.AWAITED:
            others = min(others, self._all_cpus - self.machine.reserve)
        return self.cpus[Lane.AWAITED] + others

    def _add(self, request: ResourceRequest, gpus: tuple[int, ...], sign: int, kinds: tuple[str, ...]) -> None:
        if GPUS in kinds:
            for place in gpus:
                self.gpus[place] -= sign * min(request.wanted.num_gpus, 1.0)
        if MEMORY in kinds:
            self.memory += sign * request.wanted.memory
        if CPUS in kinds and request.lane is not Lane.RESIDENT:
            self.cpus[request.lane] += sign * request.wanted.num_cpus
