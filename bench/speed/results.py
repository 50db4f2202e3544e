"""All that a run found, and how it is kept: JSON for programs, text for people.

Invariant: the text has nothing that the JSON does not have. Must never: hide a failure: each is in
both.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.speed.contenders import BARE
from bench.speed.figures import (
    Slice,
    Spread,
    medians,
    orchestrator_cpu_ms,
    p50_ms,
    per_second,
    ratio,
)
from bench.speed.job import DATABASE, PARTICIPANTS
from bench.speed.log_alone import LogSlice, log_table
from bench.speed.many import Many, many_table
from bench.speed.outage import Outage, outage_table
from bench.speed.overload import Overload, overload_table
from bench.speed.participants_alone import RpcSlice, participants_table

_GENERATOR_BUSY_MAX = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What was measured, on what, and what is to be known about it."""

    machine: Mapping[str, str]
    options: Mapping[str, Any]
    notes: tuple[str, ...]
    """What was left out, and what makes figures doubtful."""
    slices: tuple[Slice, ...] = ()
    rpcs: tuple[RpcSlice, ...] = ()
    logs: tuple[LogSlice, ...] = ()
    many: Many | None = None
    overloads: tuple[Overload, ...] = ()
    outage: Outage | None = None
    checklist: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def failures(self) -> Mapping[str, int]:
        """All that did not end as it should."""
        found: dict[str, int] = {}
        for where, failures in (
            *((f"{it.contender}, {it.in_flight} in flight", it.failures) for it in self.slices),
            *((f"{it.work} on {it.server}", it.failures) for it in self.rpcs),
            *(("many", it.failures) for it in (self.many,) if it is not None),
            *((f"overload, round {it.round}", it.failures) for it in self.overloads),
            *(("outage", it.failures) for it in (self.outage,) if it is not None),
        ):
            for what, count in failures.items():
                key = f"{where}: {what}"
                found[key] = found.get(key, 0) + count
        return found

    def json(self) -> str:
        """As it is written to a file."""
        whole = dataclasses.asdict(self) | {"failures": self.failures}
        return json.dumps(whole, indent=1) + "\n"

    def text(self) -> Iterator[str]:
        """As it is shown."""
        yield "  ".join(f"{name} {value}" for name, value in self.machine.items())
        yield from (f"NOTE: {it}" for it in self.notes)
        tables: tuple[Iterable[str], ...] = (
            contenders_table(self.slices) if self.slices else (),
            participants_table(self.rpcs) if self.rpcs else (),
            log_table(self.logs) if self.logs else (),
            many_table(self.many) if self.many else (),
            overload_table(self.overloads) if self.overloads else (),
            outage_table(self.outage) if self.outage else (),
        )
        for table in tables:
            lines = list(table)
            yield from ["", *lines] if lines else []
        if self.failures:
            yield ""
            yield "FAILED"
            yield from (f"  {count:,} x {what}" for what, count in self.failures.items())


def contenders_table(slices: Sequence[Slice]) -> Iterator[str]:
    """A line for each contender under each load."""
    yield (
        "order processes: five calls each to the same three participants on SQLite "
        "(medians of the rounds)"
    )
    yield (
        "  orch., partic., datab.: ms of CPU for each process, of the orchestrators, the "
        "participants and PostgreSQL; MiB: the orchestrators' peak"
    )
    yield (
        f"  {'in flight':>9}  {'contender':<17}{'proc./s':>8}{'orch.':>8}{'partic.':>8}"
        f"{'datab.':>8}{'p50 ms':>9}{'p99 ms':>9}{'MiB':>7}{'orch. CPU x bare':>23}"
        f"{'proc./s x bare':>23}{'p50 x bare':>23}"
    )
    columns = [
        medians(slices, of)
        for of in (
            per_second,
            orchestrator_cpu_ms,
            lambda it: it.cpu_ms[PARTICIPANTS],
            lambda it: it.cpu_ms[DATABASE],
            p50_ms,
            lambda it: it.p99_ms,
            lambda it: it.memory_mib,
        )
    ]
    before = 0
    for contender, load in sorted(columns[0], key=lambda it: (it[1], _place(slices, it[0]))):
        if before and load != before:
            yield ""
        before = load
        rate, orchestrator, participants, database, p50, p99, mib = (
            it[contender, load] for it in columns
        )
        yield (
            f"  {load:>9,}  {contender:<17}{rate:>8.0f}{orchestrator:>8.2f}{participants:>8.2f}"
            f"{f'{database:.2f}' if database else '-':>8}{p50:>9.1f}{p99:>9.1f}{mib:>7.0f}"
            + "".join(
                f"{shown(ratio(slices, of, contender=contender, against=BARE, in_flight=load)):>23}"
                for of in (orchestrator_cpu_ms, per_second, p50_ms)
                if contender != BARE
            )
        )
    busy = [it for it in slices if it.generator_busy > _GENERATOR_BUSY_MAX]
    yield from (
        f"  the load generator was the limit: {it.contender}, {it.in_flight:,} in flight, "
        f"round {it.round}"
        for it in busy
    )


def shown(it: Spread | None, digits: int = 2) -> str:
    """A median with the least and the most."""
    if it is None:
        return "-"
    return f"{it.median:.{digits}f} ({it.least:.{digits}f}..{it.most:.{digits}f})"


def _place(slices: Sequence[Slice], contender: str) -> int:
    return [it.contender for it in slices].index(contender)
