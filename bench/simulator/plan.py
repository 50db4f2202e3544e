"""A plan: which fault at which point, and the text that replays it.

Invariant: a plan and its text say the same, and the same plan on the same world gives the same run.
Must never: depend on anything but the number of a point, counted from 0 in the order of the run.

As text: `scenario` alone, or `scenario:12=lost,17=crash-after`.
"""

import re
from dataclasses import dataclass
from typing import Self

from bench.simulator.faults import MENU

_TEXT = re.compile(r"(?P<scenario>[a-z][a-z0-9-]*)(:(?P<faults>[^:]+))?")
_KNOWN = frozenset(fault for menu in MENU.values() for fault in menu)


class Unreadable(Exception):  # noqa: N818 - it is a property of a text
    """This is no plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Faults by point, in a scenario."""

    scenario: str
    faults: tuple[tuple[int, str], ...] = ()

    def __str__(self) -> str:
        """As it is printed, and read back by `parse`."""
        faults = ",".join(f"{point}={fault}" for point, fault in self.faults)
        return f"{self.scenario}:{faults}" if faults else self.scenario

    @classmethod
    def parse(cls, text: str) -> Self:
        """The plan of a text.

        Raises:
            Unreadable: It is none.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise Unreadable(f"{text!r} is not a plan such as delivered:12=lost,17=crash-after")
        faults = []
        for part in (found["faults"] or "").split(","):
            point, _, fault = part.partition("=")
            if not part:
                continue
            if not point.isdecimal() or fault not in _KNOWN:
                raise Unreadable(f"{part!r} is not a point and a fault such as 12=lost")
            faults.append((int(point), fault))
        return cls(scenario=found["scenario"], faults=tuple(faults))

    def and_then(self, point: int, fault: str) -> "Plan":
        """With one more fault."""
        return Plan(scenario=self.scenario, faults=(*self.faults, (point, fault)))
