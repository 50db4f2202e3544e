"""What the load generator is told, and what it reports: JSON, one object each.

Invariant: a job says all that there is to know; a report has nothing that was not measured. Must
never: depend on who reads it.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

ORCHESTRATOR, PARTICIPANTS, DATABASE = ROLES = ("orchestrator", "participants", "database")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A closed loop: so many calls are under way at every moment. Unless it has a rate."""

    work: str
    """What is called: see load.WORKS."""
    targets: Sequence[str]
    """Where; calls go to each in turn."""
    prefix: str
    """Of the request ids, which no other job may use."""
    in_flight: int
    warm_up_seconds: float
    measured_seconds: float
    calls: int = 0
    """After so many it is over, whatever else is said. Zero: it goes by the seconds."""
    per_second: float = 0.0
    """An open loop: so many begin each second, whatever becomes of them. Zero: a closed one."""
    deadline_seconds: float = 120.0
    """Of each call."""
    watched: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)
    """Processes by role."""

    def written(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def read(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of it, between the end of the warm-up and the end of what is measured."""

    calls: int
    """How many ended as they should."""
    seconds: float
    p50_ms: float
    p99_ms: float
    failures: Mapping[str, int]
    """What did not, from the first call to the last, and how often."""
    failures_measured: Mapping[str, int]
    """What did not while it was measured."""
    failures_p99_ms: float
    """How long those took."""
    good_by_second: Sequence[int]
    """How many ended as they should in each second since the first call."""
    cpu_seconds: Mapping[str, float]
    """By role."""
    memory_bytes_peak: Mapping[str, int]
    """By role, since the processes began."""
    own_cpu_seconds: float
    """The generator's own."""

    def written(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def read(cls, text: str) -> Self:
        return cls(**json.loads(text))
