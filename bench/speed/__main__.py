"""`python -m bench.speed`: measures it all, prints it, and what must be seen as a checklist.

Exit codes: 0, whatever the figures are; 1, if anything did not end as it should; 2, if it was asked
for what there is not; 130, interrupted.
"""

import argparse
import asyncio
import dataclasses
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.chaos.service import WillNotRun
from bench.speed import plot
from bench.speed.checklist import checklist, checklist_table
from bench.speed.child import ROOT
from bench.speed.compare import Pace, compare
from bench.speed.contenders import (
    CONTENDERS,
    DBOS_POSTGRES,
    DBOS_SQLITE,
    Contender,
    NoSuchContender,
    Program,
    Store,
    chosen,
)
from bench.speed.log_alone import measure_log
from bench.speed.machine import busy, described
from bench.speed.many import PROCESSES, measure_many
from bench.speed.outage import AWAY_SECONDS, measure_outage
from bench.speed.overload import measure_overload
from bench.speed.participants_alone import measure_participants
from bench.speed.results import Results
from bench.speed.stage import BENCH_PYTHON, Stage

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130

COMPARE, PARTICIPANTS, LOG, MANY, OVERLOAD, OUTAGE = SECTIONS = (
    "compare",
    "participants",
    "log",
    "many",
    "overload",
    "outage",
)
SHARED: Final = frozenset({COMPARE, PARTICIPANTS, LOG})
"""These stand on one stage; the others each have their own, which they damage."""
RESULTS: Final = ROOT / "bench" / "results"
ROUNDS_MIN: Final = 5
QUICK: Final = Pace(rounds=1, warm_up_seconds=0.3, measured_seconds=1.0, loads=(1, 32, 64))
QUICK_MANY: Final = 200
QUICK_AWAY_SECONDS: Final = 3.0
_NOT_INSTALLED: Final = "not installed: make setup-bench"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is measured, and how long."""

    sections: tuple[str, ...]
    contenders: tuple[Contender, ...]
    left_out: tuple[str, ...]
    pace: Pace
    many: int
    away_seconds: float
    stands_still: bool
    out: Path
    name: str
    """Of the files in it."""
    doubts: tuple[str, ...]
    """Why the figures are not to be relied on."""


def main(arguments: Sequence[str]) -> int:
    """Measures. Returns the exit code."""
    try:
        options = _options(arguments)
    except NoSuchContender as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    doubts = (*options.left_out, *options.doubts, *([busy()] if busy() else []))
    for it in doubts:
        _say(it)
    try:
        # Not uvloop: it forks, and gRPC's threads would be in its way; asyncio uses vfork.
        results = asyncio.run(_run(options, doubts))
    except WillNotRun as trouble:
        print(trouble, file=sys.stderr)
        return EXIT_FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        return EXIT_INTERRUPTED
    lines = checklist(results)
    results = dataclasses.replace(results, checklist=tuple(it.kept() for it in lines))
    text = "\n".join((*results.text(), "", *checklist_table(lines), ""))
    print(text)
    _keep(results, text, options.out, options.name)
    return EXIT_FAILED if results.failures else 0


async def _run(options: Options, doubts: tuple[str, ...]) -> Results:
    """The run, which SIGTERM and SIGHUP end as Ctrl-C does: nothing is left behind."""
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    machine = described()
    stores = {it.store for it in options.contenders} - {Store.NONE}
    results = Results(
        machine=machine,
        options={"sections": options.sections, **dataclasses.asdict(options.pace)},
        notes=doubts,
    )
    async with Stage.built(stores if SHARED & set(options.sections) else ()) as stage:
        if COMPARE in options.sections:
            slices = await compare(stage, options.contenders, options.pace, _say)
            results = dataclasses.replace(results, slices=slices)
        if PARTICIPANTS in options.sections:
            rpcs = await measure_participants(stage, options.pace, _say)
            results = dataclasses.replace(results, rpcs=rpcs)
        if LOG in options.sections:
            logs = await measure_log(stage, options.pace, sorted(stores), _say)
            results = dataclasses.replace(results, logs=logs)
    if MANY in options.sections:
        many = await measure_many(_say, processes=options.many)
        results = dataclasses.replace(results, many=many)
    if OVERLOAD in options.sections:
        overloads = await measure_overload(options.pace, _say)
        results = dataclasses.replace(results, overloads=overloads)
    if OUTAGE in options.sections:
        outage = await measure_outage(
            options.pace,
            _say,
            away_seconds=options.away_seconds,
            stands_still=options.stands_still,
        )
        results = dataclasses.replace(results, outage=outage)
    return results


def _keep(results: Results, text: str, out: Path, name: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(results.json())
    (out / f"{name}.txt").write_text(text + "\n")
    _say(f"kept in {out}: {name}.json, {name}.txt")
    picture, photo = out / f"{name}.svg", out / f"{name}.png"
    for of_before in (picture, photo):
        of_before.unlink(missing_ok=True)
    if not results.slices:
        return
    drawn = plot.panels(results.slices)
    picture.write_text(plot.svg(drawn))
    if not BENCH_PYTHON.exists():
        _say(f"{picture.name}; no {photo.name}: matplotlib is {_NOT_INSTALLED}")
        return
    subprocess.run(  # noqa: S603 - our own module in an environment of ours
        [BENCH_PYTHON, "-m", "bench.speed.plot", photo],
        input=plot.written(drawn),
        text=True,
        check=True,
        cwd=ROOT,
    )
    _say(f"{picture.name}, {photo.name}")


def _options(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"some of {', '.join(SECTIONS)} (all)")
    parser.add_argument("--rounds", type=_count, default=5, help="how often all is measured (5)")
    parser.add_argument(
        "--contenders", default="", help=f"with commas, some of {', '.join(CONTENDERS)} (all)"
    )
    parser.add_argument(
        "--loads", type=_counts, default=(), help="in flight, with commas (each contender's)"
    )
    parser.add_argument("--warm-up-seconds", type=float, default=2.0, help="of each slice (2)")
    parser.add_argument("--measured-seconds", type=float, default=5.0, help="of each slice (5)")
    parser.add_argument("--quick", action="store_true", help="one short round: only does it run?")
    parser.add_argument(
        "--stands-still", action="store_true", help="outage: the participant is stopped, not killed"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="a folder (bench/results)")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    names = [it for it in given.contenders.split(",") if it]
    contenders = chosen(names)
    left_out: list[str] = []
    if not BENCH_PYTHON.exists():
        if {DBOS_SQLITE, DBOS_POSTGRES} & set(names):
            parser.error(f"dbos is {_NOT_INSTALLED}")
        left_out = [f"{it.name} is left out, {_NOT_INSTALLED}" for it in contenders if _is_dbos(it)]
        contenders = tuple(it for it in contenders if not _is_dbos(it))
    pace = Pace(
        rounds=given.rounds,
        warm_up_seconds=given.warm_up_seconds,
        measured_seconds=given.measured_seconds,
        loads=given.loads,
    )
    theirs = sorted({load for it in contenders for load in it.loads})
    if strange := [f"{it:,}" for it in pace.loads if it not in theirs]:
        parser.error(
            f"none of these contenders is measured with {', '.join(strange)} in flight; "
            f"there are {' '.join(map(str, theirs))}"
        )
    doubts: list[str] = []
    if given.quick:
        doubts.append("one short round shows that it runs, and nothing of how fast it is")
    elif pace.rounds < ROUNDS_MIN:
        doubts.append(f"of fewer than {ROUNDS_MIN} rounds a median is worth little")
    return Options(
        sections=tuple(given.sections) or SECTIONS,
        name="quick" if given.quick else "latest",
        doubts=tuple(doubts),
        contenders=contenders,
        left_out=tuple(left_out),
        pace=dataclasses.replace(QUICK, loads=pace.loads or QUICK.loads) if given.quick else pace,
        many=QUICK_MANY if given.quick else PROCESSES,
        away_seconds=QUICK_AWAY_SECONDS if given.quick else AWAY_SECONDS,
        stands_still=given.stands_still,
        out=given.out,
    )


def _is_dbos(it: Contender) -> bool:
    return it.program is Program.DBOS


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(it) for it in text.split(",") if it)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
