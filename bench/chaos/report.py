"""The table at the end of a run.

Invariant: every figure is counted from the result. Must never: leave out a violation's rule, even
where there are too many violations to show each.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.chaos.layout import SERVICES
from bench.chaos.run import Options, Result
from bench.chaos.takeovers import Takeovers, middle_and_longest
from bench.chaos.weather import Fault

_SHOWN_MAX: Final = 50
_WIDTH: Final = 48


def table(result: Result) -> Iterator[str]:
    """What was done and what came of it, a line each."""
    accepted = sum(bool(it.process_ids) for it in result.accounts)
    settled = result.settled_seconds
    yield from _section("replicas")
    for service, names in result.options.layout.replicas.items():
        yield _row(service, len(names))
    yield from _section("orders")
    yield _row("offered", len(result.accounts))
    yield _row("accepted", accepted)
    yield _row("completed", result.in_state("COMPLETED"))
    yield _row("cancelled", result.in_state("CANCELLED"))
    yield _row("parked", result.in_state("PARKED"))
    yield _row("lost", _lost(result))
    yield from _section("why processes turned back")
    failures = Counter(it.failure for it in result.evidence.processes if it.failure)
    for failure, count in failures.most_common():
        yield _row(failure, count)
    yield from _section("what callers were told")
    for code, count in result.answers.most_common():
        yield _row(code.name, count)
    yield from _section("faults")
    yield from (_rolled if result.options.rounds else _struck)(result)
    if result.takeovers is not None:
        yield from _section("taken over, seconds: the middle / the longest")
        yield from _taken(result.takeovers)
    yield from _section("time")
    yield _row("load, seconds", f"{result.load_seconds:.1f}")
    yield _row("settled after that, seconds", "never" if settled is None else f"{settled:.1f}")
    yield from _section("audit")
    by_rule = Counter(it.rule for it in result.findings)
    yield _row("violations", len(result.findings))
    for rule, count in by_rule.most_common():
        yield f"  {count:,} x {rule}"
    for finding in result.findings[:_SHOWN_MAX]:
        yield f"  {finding}"
    if len(result.findings) > _SHOWN_MAX:
        yield f"  ... and {len(result.findings) - _SHOWN_MAX:,} more"


def again(result: Result, folder: Path) -> str:
    """Where everything is kept, and how to run it again."""
    options = result.options
    return (
        f"Kept with all logs and databases: {folder}\n"
        f"Run it again: python -m bench.chaos --orders {options.orders} --seed {options.seed} "
        f"{_disturbance(options)} --concurrency {options.concurrency}{_replicas(options)}"
    )


def _disturbance(options: Options) -> str:
    if options.rounds:
        return f"--rolling {options.rounds}"
    restarts = f" --restarts {options.restarts}" if options.restarts else ""
    return f"--kills {options.kills} --pauses {options.pauses}{restarts}"


def _replicas(options: Options) -> str:
    layout = options.layout
    if not layout.shared:
        return ""
    return f" --orchestrators {layout.orchestrators} --participants {layout.participants}"


def _struck(result: Result) -> Iterator[str]:
    for service in SERVICES:
        yield _row(f"kill -9 of {service}", result.kills[service])
    for service in SERVICES:
        yield _row(f"SIGSTOP of {service}", result.pauses[service])
    if result.options.layout.shared:
        yield _row("PostgreSQL restarted (immediate)", len(result.outages_seconds))
        yield _row("away each time, seconds", middle_and_longest(result.outages_seconds))
    for fault in Fault:
        yield _row(f"call {fault}", result.faults[fault])


def _rolled(result: Result) -> Iterator[str]:
    for service in SERVICES:
        yield _row(f"drain and restart of {service}", result.drains[service])


def _taken(taken: Takeovers) -> Iterator[str]:
    yield _row("processes that changed their owner", taken.total)
    for what, seconds in (
        ("from the kill of its owner to the claim", taken.killed),
        ("first of each kill", taken.killed_first),
        ("the same, and nobody there to claim", taken.killed_unseen),
        ("from a drained owner to the claim", taken.drained),
    ):
        yield _row(f"{len(seconds):,} {what}", middle_and_longest(seconds))
    yield _row("of owners that stood still, or were cut off", len(taken.alive))


def _lost(result: Result) -> int:
    there = {it.process_id for it in result.evidence.processes}
    return sum(bool(it.process_ids - there) for it in result.accounts)


def _section(name: str) -> Iterator[str]:
    yield ""
    yield name


def _row(name: str, value: object) -> str:
    shown = f"{value:,}" if isinstance(value, int) else str(value)
    return f"  {name:<{_WIDTH}}{shown:>10}"
