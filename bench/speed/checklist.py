"""What must be seen, held against what was measured.

Invariant: every line says its target, its aim, what was measured and which of these it is: pass,
miss, not measured, or, where there is an aim alone, shown. Must never: pass on what was not
measured.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.speed.contenders import (
    BARE,
    DBOS_POSTGRES,
    DBOS_SQLITE,
    OURS_POSTGRES,
    OURS_POSTGRES_2,
    OURS_SQLITE,
)
from bench.speed.figures import (
    Slice,
    Spread,
    orchestrator_cpu_ms,
    p50_ms,
    per_second,
    ratio,
)
from bench.speed.many import PROCESSES
from bench.speed.outage import AWAY_SECONDS
from bench.speed.participants_alone import NOOP, cpu_ratio
from bench.speed.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that must be seen."""

    what: str
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    aim: float | None = None
    measured: Spread | None = None

    @property
    def verdict(self) -> str:
        """Pass, miss, or not measured. Without a target it is only shown, beside its aim."""
        if self.measured is None:
            return "not measured"
        value = self.measured.median
        target = self.at_least if self.at_most is None else self.at_most
        if target is None:
            return "shown"
        if not self._reaches(value, target):
            return "miss"
        short = self.aim is not None and not self._reaches(value, self.aim)
        return "pass, short of its aim" if short else "pass"

    def _reaches(self, value: float, goal: float) -> bool:
        return value >= goal if self.at_most is None else value <= goal

    def target(self) -> str:
        """The target as text."""
        if self.at_most is not None:
            return f"<= {self.at_most:g}{self.unit}"
        if self.at_least is not None:
            return f">= {self.at_least:g}{self.unit}"
        return "-"

    def kept(self) -> Mapping[str, Any]:
        """The line as JSON."""
        return {
            "what": self.what,
            "target": self.target(),
            "aim": self.aim,
            "median": None if self.measured is None else self.measured.median,
            "least": None if self.measured is None else self.measured.least,
            "most": None if self.measured is None else self.measured.most,
            "verdict": self.verdict,
        }


def checklist(results: Results) -> tuple[Line, ...]:
    """Every line, whether it was measured or not."""
    slices = results.slices
    return (
        *_against_bare(slices),
        Line(
            what="64 in flight: CPU of a durable CreateOrder, against a no-op",
            unit="x",
            at_most=1.5,
            measured=cpu_ratio(results.rpcs, work="create_order", against=NOOP),
        ),
        *_against_dbos(slices),
        *_against_ourselves(slices),
        *_under_stress(results),
    )


def _against_bare(slices: Sequence[Slice]) -> Iterator[Line]:
    for name, store, cpu_max, cpu_aim, rate_min in (
        (OURS_SQLITE, "SQLite", 1.5, 1.25, 0.85),
        (OURS_POSTGRES, "PostgreSQL", 1.7, 1.4, 0.7),
    ):
        yield Line(
            what=f"64 in flight, {store}: orchestrator CPU per process, against bare",
            unit="x",
            at_most=cpu_max,
            aim=cpu_aim,
            measured=ratio(slices, orchestrator_cpu_ms, contender=name, against=BARE, in_flight=64),
        )
        yield Line(
            what=f"64 in flight, {store}: processes/s, against bare",
            unit="x",
            at_least=rate_min,
            measured=ratio(slices, per_second, contender=name, against=BARE, in_flight=64),
        )
    yield Line(
        what="1 in flight, SQLite: p50, against bare",
        unit="x",
        at_most=1.6,
        measured=ratio(slices, p50_ms, contender=OURS_SQLITE, against=BARE, in_flight=1),
    )


def _against_ourselves(slices: Sequence[Slice]) -> Iterator[Line]:
    for name, store in ((OURS_SQLITE, "SQLite"), (OURS_POSTGRES, "PostgreSQL")):
        yield Line(
            what=f"from 64 to 4,096 in flight, {store}: processes/s kept",
            unit="x",
            at_least=0.85,
            measured=ratio(
                slices,
                per_second,
                contender=name,
                against=name,
                in_flight=4_096,
                against_in_flight=64,
            ),
        )
    for what, in_flight in (
        ("64 in flight, PostgreSQL: CPU per process of two replicas, against one", 64),
        ("the same with 64 in flight at each of the two", 128),
    ):
        yield Line(
            what=what,
            unit="x",
            at_most=1.15,
            measured=ratio(
                slices,
                orchestrator_cpu_ms,
                contender=OURS_POSTGRES_2,
                against=OURS_POSTGRES,
                in_flight=in_flight,
                against_in_flight=64,
            ),
        )


def _under_stress(results: Results) -> Iterator[Line]:
    many, outage = results.many, results.outage
    full = f"{PROCESSES if many is None else many.processes:,} in flight"
    away = f"a participant away for {AWAY_SECONDS if outage is None else outage.away_seconds:.0f} s"
    yield Line(
        what=f"{full}: memory of the orchestrator for each",
        unit=" KiB",
        at_most=48,
        measured=None if many is None else Spread.of([many.kib_each]),
    )
    yield Line(
        what=f"{full}, killed: from the start until the first goes on",
        unit=" s",
        at_most=2,
        measured=None
        if many is None
        else Spread.of([math.inf if many.gone_on_seconds is None else many.gone_on_seconds]),
    )
    yield Line(
        what=f"{full}, killed: not COMPLETED, or found by the audit",
        unit="",
        at_most=0,
        measured=None if many is None else Spread.of([sum(many.failures.values())]),
    )
    yield Line(
        what="twice the peak offered: goodput, against the peak",
        unit="x",
        at_least=0.9,
        measured=Spread.of(it.kept for it in results.overloads),
    )
    yield Line(
        what=f"{away}: not COMPLETED, or found by the audit",
        unit="",
        at_most=0,
        measured=None if outage is None else Spread.of([sum(outage.failures.values())]),
    )
    yield Line(
        what=f"{away}: calls in the first second, of the most in one",
        unit="x",
        at_most=0.5,
        measured=None if outage is None else Spread.of([outage.first_second_of_most]),
    )
    yield Line(
        what=f"{away}: calls in a second, against the one before",
        unit="x",
        at_most=3,
        measured=None if outage is None else Spread.of([outage.steepest]),
    )


def _against_dbos(slices: Sequence[Slice]) -> Iterator[Line]:
    for ours, theirs, store in (
        (OURS_SQLITE, DBOS_SQLITE, "SQLite"),
        (OURS_POSTGRES, DBOS_POSTGRES, "PostgreSQL"),
    ):
        yield Line(
            what=f"32 in flight, {store}: processes/s, against DBOS",
            unit="x",
            aim=8,
            measured=ratio(slices, per_second, contender=ours, against=theirs, in_flight=32),
        )
        yield Line(
            what=f"32 in flight, {store}: DBOS's CPU per process, against ours",
            unit="x",
            aim=8,
            measured=ratio(
                slices, orchestrator_cpu_ms, contender=theirs, against=ours, in_flight=32
            ),
        )


def checklist_table(lines: Sequence[Line]) -> Iterator[str]:
    """A line each."""
    yield "what must be seen (medians of the ratios within each round, with the least and the most)"
    yield f"  {'':<72}{'target':>10}{'aim':>8}{'measured':>24}  verdict"
    for it in lines:
        measured = (
            "-"
            if it.measured is None
            else f"{it.measured.median:.2f} ({it.measured.least:.2f}..{it.measured.most:.2f})"
        )
        aim = "-" if it.aim is None else f"{it.aim:g}{it.unit}"
        yield f"  {it.what:<72}{it.target():>10}{aim:>8}{measured:>24}  {it.verdict}"
