"""The two schedulers: one does what a plan says, the other what the dice say.

Invariant: a scheduler is asked at every point, in the order of the run, and answers from its plan
or its seed alone. Must never: look at the world.
"""

import random
from collections.abc import Mapping
from typing import Final, Protocol

from bench.simulator import faults
from bench.simulator.faults import MENU, Place
from bench.simulator.plan import Plan


class Scheduler(Protocol):
    """Says what goes wrong."""

    def at(self, place: Place, name: str) -> str | None:
        """The fault at the point that is reached now; None: all goes well."""
        ...

    def fraction(self) -> float:
        """For jitter: from 0 to 1."""
        ...

    def latency_seconds(self, place: Place) -> float:
        """How long something takes that goes well."""
        ...


class Planned:
    """Does what a plan says. Nothing takes time but what is made to."""

    def __init__(self, plan: Plan) -> None:
        self._faults = dict(plan.faults)
        self.points: list[tuple[Place, str]] = []
        """Those that were reached, in order."""

    def at(self, place: Place, name: str) -> str | None:
        fault = self._faults.get(len(self.points))
        self.points.append((place, name))
        return fault

    def fraction(self) -> float:
        return 0.5

    def latency_seconds(self, place: Place) -> float:
        del place
        return 0.0


# How often something goes wrong at a point of each kind, where things go wrong at all.
_SHARE: Final[Mapping[Place, float]] = {
    Place.LOG: 0.02,
    Place.READ: 0.02,
    Place.CALL: 0.12,
    Place.UNDO: 0.12,
    Place.COMMIT: 0.04,
    Place.ASK: 0.06,
    Place.FRONT: 0.05,
    Place.REST: 0.0,
}
# What the driver of a simulation does itself, with machines and people of its own.
_LEFT_TO_THE_DRIVER: Final = frozenset(
    {
        faults.USURPED_BEFORE,
        faults.USURPED_AFTER,
        faults.OVERTAKEN_BEFORE,
        faults.OVERTAKEN_AFTER,
        faults.CANCEL_BEFORE,
        faults.CANCEL_AFTER,
        faults.RETRY,
        faults.RESOLVE,
    }
)
_DRAWN: Final = {
    place: tuple(fault for fault in menu if fault not in _LEFT_TO_THE_DRIVER)
    for place, menu in MENU.items()
}


class Drawn:
    """Does what a seed says."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"simulation {seed}")
        self.troubled = True
        """Whether things go wrong at all."""
        self.slowness = 1.0
        """How many times longer than usual everything takes."""
        self.drawn = 0
        """How often something went wrong."""

    def at(self, place: Place, name: str) -> str | None:
        del name
        if not self.troubled or self.random.random() >= _SHARE[place]:
            return None
        self.drawn += 1
        return self.random.choice(_DRAWN[place])

    def fraction(self) -> float:
        return self.random.random()

    def latency_seconds(self, place: Place) -> float:
        del place
        return self.random.random() * 0.02 * self.slowness
