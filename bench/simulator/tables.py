"""The documents that the simulator writes: docs/planted_bugs.md, docs/failure_matrix.md.

Invariant: the same code gives the same bytes. Must never: write a time, a duration or anything else
that is true of one machine only.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.simulator.bugs import BUGS
from bench.simulator.explore import Settings, first_violation
from bench.simulator.named import ORDERS
from bench.simulator.simulate import SimulationSettings, first_failing_seed

SEEDS_MAX: Final = 30


def planted_bugs(
    only: Sequence[str] = (), *, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Iterator[str]:
    """Plants each bug, and tells how it was found."""
    yield "# Planted bugs"
    yield ""
    yield "Written by `make bugs`. Each row takes one safety mechanism out of the system and has"
    yield "the simulator notice: `explore` tries every single fault and then pairs until something"
    yield "does not hold, `simulate` plays seed after seed of twenty processes. The plan replays"
    yield "what was found: `python -m bench.simulator replay PLAN --bug BUG`."
    yield ""
    yield "| bug | what is wrong | schedules until `explore` found it | plan | what did not hold |"
    yield "|---|---|--:|---|---|"
    names = list(only or BUGS)
    seeds = {}
    for done, name in enumerate(names, start=1):
        found = first_violation(Settings(world=ORDERS, bug=name), depth=2)
        failing = first_failing_seed(
            SimulationSettings(world=ORDERS, bug=name), seeds_max=SEEDS_MAX
        )
        seeds[name] = failing and failing.seed
        progress(done, len(names))
        if found is None:
            yield f"| `{name}` | {BUGS[name]} | not found | | |"
            continue
        rule = found.said.partition(":")[0]
        yield (f"| `{name}` | {BUGS[name]} | {found.schedules:,} | `{found.plan}` | {rule} |")
    yield ""
    yield "## Seeds"
    yield ""
    yield "How many seeds `simulate` played until it found the same bugs:"
    yield ""
    yield "| bug | seeds |"
    yield "|---|--:|"
    for name in names:
        yield f"| `{name}` | {seeds[name] or f'not within {SEEDS_MAX}'} |"


def write_or_check(path: Path, lines: Iterable[str], *, check: bool, show: bool) -> int:
    """Writes a document, or compares it with what it should be.

    Returns:
        The exit code.
    """
    text = "".join(f"{line}\n" for line in lines)
    if show:
        print(text, end="")
    if not check:
        path.write_text(text)
        return 0
    if path.exists() and path.read_text() == text:
        return 0
    print(f"docs/{path.name} is not what the simulator gives: write it anew", file=sys.stderr)
    return 1
