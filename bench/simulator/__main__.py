"""`python -m bench.simulator`: explore, simulate, bugs, matrix, replay.

Invariant: exit code 0 means that everything held, 1 that something did not, 2 that it was asked for
something that there is not. Must never: do anything but read what is asked and print what came of
it.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench.simulator import bugs, matrix, tables
from bench.simulator.explore import Settings, Tally, explore
from bench.simulator.named import ORDERS, NoSuchWorld, load_world
from bench.simulator.plan import Plan, Unreadable
from bench.simulator.quiet import hush
from bench.simulator.run import Player
from bench.simulator.simulate import SimulationSettings, simulate, simulate_one

ROOT: Final = Path(__file__).parents[2]
PROGRAM: Final = "python -m bench.simulator"


def main(argv: Sequence[str]) -> int:
    """Runs a command; gives the exit code."""
    options = _parser().parse_args(argv)
    hush(for_good=True)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (Unreadable, NoSuchWorld) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)

    exploring = commands.add_parser("explore", help="try every fault at every point")
    exploring.add_argument("--singles", action="store_true", help="no pairs")
    exploring.add_argument("--scenario", action="append", default=[], help="only these")
    exploring.add_argument(
        "--every-fault", action="store_true", help="pairs without any that stand for others"
    )
    exploring.add_argument("--workers", type=int, default=2)
    _common(exploring)
    exploring.set_defaults(command=_explore)

    simulating = commands.add_parser("simulate", help="draw faults from seeds")
    simulating.add_argument("--seeds", type=int, default=100, help="how many")
    simulating.add_argument("--first", type=int, default=1, help="the first seed")
    simulating.add_argument("--processes", type=int, default=20, help="in each seed")
    simulating.add_argument("--workers", type=int, default=2)
    _common(simulating)
    simulating.set_defaults(command=_simulate)

    replaying = commands.add_parser("replay", help="run one plan or one seed again, and tell all")
    replaying.add_argument("plan", help="such as delivered:12=lost, or seed:17")
    replaying.add_argument("--processes", type=int, default=20, help="in a seed")
    _common(replaying)
    replaying.set_defaults(command=_replay)

    planting = commands.add_parser("bugs", help="plant bugs, and see each of them found")
    planting.add_argument("--check", action="store_true", help="change nothing")
    planting.add_argument("--only", action="append", default=[], choices=[*bugs.BUGS])
    planting.set_defaults(command=_bugs)

    matching = commands.add_parser("matrix", help="write docs/failure_matrix.md")
    matching.add_argument("--check", action="store_true", help="change nothing")
    matching.set_defaults(command=_matrix)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--world", default=ORDERS, help="module:factory of a World")
    parser.add_argument("--bug", default="", choices=["", *bugs.BUGS], help="plant one")


def _explore(options: argparse.Namespace) -> int:
    settings = Settings(world=options.world, bug=options.bug, every_fault=options.every_fault)
    world = load_world(options.world)
    for scenario in options.scenario:
        if scenario not in world.scenarios:
            raise Unreadable(f"there is no scenario {scenario!r}: {', '.join(world.scenarios)}")
    start = time.perf_counter()
    tally = explore(
        settings,
        depth=1 if options.singles else 2,
        workers=options.workers,
        scenarios=options.scenario,
        progress=_progress,
    )
    seconds = time.perf_counter() - start
    _clear()
    kinds = "every single fault" if options.singles else "every single fault and every pair"
    print(f"{kinds}, in {len(options.scenario or world.scenarios)} scenarios of {world.name}")
    print(f"schedules run        {tally.schedules:>9,}")
    print(f"distinct end states  {len(tally.end_states):>9,}")
    print(f"distinct stories     {len(tally.stories):>9,}")
    for phase, count in sorted(tally.phases.items()):
        print(f"  {phase or 'nothing':<18} {count:>9,}")
    print(f"violations           {tally.failures:>9,}")
    rate = tally.schedules / max(tally.cpu_seconds, 1e-9)
    print(f"seconds              {seconds:>9.1f}   {rate:,.0f} schedules/s of processor time")
    return _verdict(tally, options)


def _verdict(tally: Tally, options: argparse.Namespace) -> int:
    if not tally.failures:
        return 0
    plan, said = tally.violations[0]
    print(f"\nthe shortest schedule that fails: {plan}\n  {said}")
    for other, why in tally.violations[1:5]:
        print(f"  also {other}: {why}")
    print(f"\nreplay it: {PROGRAM} replay {plan}{_given(options)}")
    return 1


def _given(options: argparse.Namespace) -> str:
    world = f" --world {options.world}" if options.world != ORDERS else ""
    return world + (f" --bug {options.bug}" if options.bug else "")


def _simulate(options: argparse.Namespace) -> int:
    settings = SimulationSettings(world=options.world, bug=options.bug, processes=options.processes)
    start = time.perf_counter()
    result = simulate(
        settings,
        range(options.first, options.first + options.seeds),
        workers=options.workers,
        progress=_progress,
    )
    seconds = time.perf_counter() - start
    _clear()
    print(f"seeds                {options.seeds:>9,}   of {options.processes} processes each")
    for name, count in sorted(result.counts.items()):
        print(f"  {name:<18} {count:>9,}")
    print(f"violations           {len(result.violations):>9,}")
    rate = result.processes / max(result.cpu_seconds, 1e-9)
    print(f"seconds              {seconds:>9.1f}   {rate:,.0f} processes/s of processor time")
    print(f"digest               {result.digest}")
    if not result.violations:
        return 0
    seed, said = result.violations[0]
    print(f"\nseed {seed} fails: {said}")
    print(
        f"replay it: {PROGRAM} replay seed:{seed} --processes {options.processes}{_given(options)}"
    )
    return 1


def _replay(options: argparse.Namespace) -> int:
    with bugs.planted(options.bug):
        if options.plan.startswith("seed:"):
            settings = SimulationSettings(world=options.world, bug="", processes=options.processes)
            played = simulate_one(settings, int(options.plan.removeprefix("seed:")))
            trace, violations, end = played.trace, played.violations, f"digest {played.digest}"
        else:
            plan, world = Plan.parse(options.plan), load_world(options.world)
            if plan.scenario not in world.scenarios:
                raise Unreadable(f"there is no scenario {plan.scenario!r}")
            outcome = Player(world).play(plan, traced=True)
            trace, violations, end = outcome.trace, outcome.violations, outcome.phase
    print("\n".join(trace))
    print(f"ends: {end}")
    for violation in violations:
        print(f"VIOLATED {violation}")
    return 1 if violations else 0


def _bugs(options: argparse.Namespace) -> int:
    return tables.write_or_check(
        ROOT / "docs" / "planted_bugs.md",
        tables.planted_bugs(options.only, progress=_progress),
        check=options.check or bool(options.only),
        show=True,
    )


def _matrix(options: argparse.Namespace) -> int:
    return tables.write_or_check(
        ROOT / "docs" / "failure_matrix.md", matrix.drawn(), check=options.check, show=False
    )


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done:,} of {of:,} ", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r" + " " * 30 + "\r", end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
