"""The scheduler that draws: many processes, several orchestrators on one log, and a seed.

Invariant: the same seed gives the same trace, byte for byte, on any machine and in any program; its
digest says so. Must never: let anything but the seed decide.

Orchestrators keep a lease each by a heartbeat in the log's time; one whose lease has lapsed is
taken for dead, whatever it is. While there is trouble they crash, stop for longer than a lease, are
cut off from the log or from a participant, are drained, and start again with clocks that differ;
participants and the gateway fail; people cancel, return and operate. Then all is well again, and
everything has to come to its end.
"""

import gc
import hashlib
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.simulator import bugs, quiet
from bench.simulator.drive import Driver
from bench.simulator.evidence import Violation
from bench.simulator.loop import Livelock, new_loop
from bench.simulator.named import load_world
from bench.simulator.replay import Replays
from bench.simulator.run import gather, judge, shape_of
from bench.simulator.schedule import Drawn
from bench.simulator.stage import Stage
from bench.simulator.world import World

PATIENCE_SECONDS: Final = 3_600.0
"""Of virtual time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSettings:
    """How to simulate."""

    world: str
    bug: str = ""
    processes: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of one seed."""

    seed: int
    digest: str
    counts: dict[str, int]
    violations: Sequence[Violation]
    trace: Sequence[str]
    cpu_seconds: float


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of many."""

    processes: int = 0
    cpu_seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str]] = field(default_factory=list)
    """Seeds that failed, and what did not hold."""
    digest: str = ""


def simulate_one(settings: SimulationSettings, seed: int, *, world: World | None = None) -> Played:
    """Plays one seed."""
    world = world or load_world(settings.world)
    start = time.process_time()
    quiet.heard.clear()
    dice, loop = Drawn(seed), new_loop(ordered=True)
    names = list(world.scenarios)
    scenario = world.scenarios[names[0]]
    stage = Stage(world, scenario, dice, loop)
    stage.trace = []
    driver = Driver(stage, dice, names, settings.processes)
    complaints = []
    driver.begin()
    try:
        if not loop.run(idle=driver.idle, until_seconds=PATIENCE_SECONDS):
            complaints.append("it does not come to rest")
    except Livelock as livelock:
        complaints.append(f"it goes on without getting anywhere, {livelock}")
    evidence = gather(stage, shape_of(world), complaints)
    violations = judge(world, evidence, Replays(world.definition))
    missing = settings.processes - len(evidence.requests)
    if missing:
        violations.append(Violation("every request is answered", f"{missing} are not"))
    counts = Counter(row.phase for row in evidence.rows.values())
    counts["faults"] = driver.faults + dice.drawn
    for process_id in evidence.rows:
        for event in evidence.histories[process_id]:
            stage.note(f"{process_id} {event.kind} {event.time_us} {event.body}")
    text = "\n".join(stage.trace)
    return Played(
        seed=seed,
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
        counts=dict(counts),
        violations=violations,
        trace=stage.trace,
        cpu_seconds=time.process_time() - start,
    )


def simulate(
    settings: SimulationSettings,
    seeds: Iterable[int],
    *,
    workers: int,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Result:
    """Plays many seeds, in several programs or in this one alone."""
    seeds = list(seeds)
    result = Result()
    digests: dict[int, str] = {}

    def take(played: Played) -> None:
        result.processes += settings.processes
        result.cpu_seconds += played.cpu_seconds
        result.counts.update(played.counts)
        digests[played.seed] = played.digest
        if played.violations:
            result.violations.append((played.seed, str(played.violations[0])))
        progress(len(digests), len(seeds))

    if workers <= 1:
        _keep(settings)
        for seed in seeds:
            take(_work(seed))
    else:
        context = multiprocessing.get_context("spawn")
        with context.Pool(workers, initializer=_begin, initargs=(settings,)) as pool:
            for played in pool.imap_unordered(_work, seeds, chunksize=4):
                take(played)
    result.violations.sort()
    together = "".join(digests[seed] for seed in sorted(digests))
    result.digest = hashlib.sha256(together.encode()).hexdigest()[:16]
    return result


class _Worker:
    """What a worker program keeps."""

    settings: SimulationSettings
    world: World


def _begin(settings: SimulationSettings) -> None:
    quiet.hush(for_good=True)
    _keep(settings)


def _keep(settings: SimulationSettings) -> None:
    _Worker.settings = settings
    _Worker.world = load_world(settings.world)


def _work(seed: int) -> Played:
    with bugs.planted(_Worker.settings.bug):
        played = simulate_one(_Worker.settings, seed, world=_Worker.world)
    gc.collect()
    return Played(
        seed=seed,
        digest=played.digest,
        counts=played.counts,
        violations=played.violations,
        # It stays where it was made: it is long.
        trace=(),
        cpu_seconds=played.cpu_seconds,
    )


def first_failing_seed(settings: SimulationSettings, *, seeds_max: int) -> Played | None:
    """The first seed that shows a violation, from 1 on."""
    world = load_world(settings.world)
    with bugs.planted(settings.bug):
        for seed in range(1, seeds_max + 1):
            played = simulate_one(settings, seed, world=world)
            if played.violations:
                return played
    return None
