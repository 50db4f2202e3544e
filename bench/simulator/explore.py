"""The scheduler that enumerates: every fault at every point, and every pair.

Invariant: a run without faults numbers the points; every fault of a point's menu is tried at each;
and then every second fault at every later point of the run that the first one led to. What is left
out leads provably to what is not: among codes of one outcome one stands for the others in pairs,
and an operator who is turned away is tried once. Must never: stop at a violation, but where it is
asked to.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.simulator import bugs
from bench.simulator.faults import BY_OPERATORS, MENU, Place, stands_for_itself
from bench.simulator.named import load_world
from bench.simulator.plan import Plan
from bench.simulator.quiet import hush
from bench.simulator.run import Outcome, Player

VIOLATIONS_KEPT: Final = 20
_CHUNK: Final = 4


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was tried, and what came of it."""

    schedules: int = 0
    end_states: set[bytes] = field(default_factory=set)
    stories: set[bytes] = field(default_factory=set)
    phases: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    cpu_seconds: float = 0.0
    """Of processor time, over all programs."""
    violations: list[tuple[str, str]] = field(default_factory=list)
    """Plans that failed, and what did not hold; the shortest of them."""

    def count(self, plan: Plan, outcome: Outcome) -> None:
        """Takes one run in."""
        self.schedules += 1
        self.end_states.add(outcome.end_state)
        self.stories.add(outcome.story)
        self.phases[outcome.phase] = self.phases.get(outcome.phase, 0) + 1
        if outcome.violations:
            self.failures += 1
            self.violations.append((str(plan), str(outcome.violations[0])))
            self._keep_the_shortest()

    def add(self, other: "Tally") -> None:
        """Takes another tally in."""
        self.schedules += other.schedules
        self.end_states |= other.end_states
        self.stories |= other.stories
        for phase, count in other.phases.items():
            self.phases[phase] = self.phases.get(phase, 0) + count
        self.failures += other.failures
        self.cpu_seconds += other.cpu_seconds
        self.violations += other.violations
        self._keep_the_shortest()

    def _keep_the_shortest(self) -> None:
        self.violations.sort(key=lambda it: (it[0].count("="), len(it[0]), it[0]))
        del self.violations[VIOLATIONS_KEPT:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a worker is to do: a plan of one fault, and maybe all pairs that begin with it."""

    plan: Plan
    pairs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to explore."""

    world: str
    bug: str = ""
    every_fault: bool = False
    """Also in pairs, where some faults stand for others: see `faults.stands_for_itself`."""


class Explorer:
    """Explores in this program."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._world = load_world(settings.world)
        self.player = Player(self._world)
        with bugs.planted(settings.bug):
            self._bases = {
                scenario: self.player.play(Plan(scenario=scenario))
                for scenario in self._world.scenarios
            }

    def bases(self) -> Tally:
        """The runs without faults."""
        tally = Tally()
        for scenario, outcome in self._bases.items():
            tally.count(Plan(scenario=scenario), outcome)
        return tally

    def singles(self, scenarios: Sequence[str] = ()) -> Iterator[Plan]:
        """Every fault at every point."""
        for scenario in scenarios or self._world.scenarios:
            plan, base = Plan(scenario=scenario), self._bases[scenario]
            for point, (place, _) in enumerate(base.points):
                for fault in MENU[place]:
                    yield plan.and_then(point, fault)

    def do(self, job: Job) -> Tally:
        """Does one job."""
        tally, start = Tally(), time.process_time()
        with bugs.planted(self._settings.bug):
            outcome = self.player.play(job.plan)
            tally.count(job.plan, outcome)
            if job.pairs and self._worth_pairs(job.plan):
                for pair in self.followers(job.plan, outcome):
                    tally.count(pair, self.player.play(pair))
        tally.cpu_seconds = time.process_time() - start
        return tally

    def followers(self, plan: Plan, outcome: Outcome) -> Iterator[Plan]:
        """Every second fault at every later point."""
        parked_at = frozenset(outcome.parked_at)
        for point in range(plan.faults[-1][0] + 1, len(outcome.points)):
            for fault in MENU[outcome.points[point][0]]:
                if fault in BY_OPERATORS and point not in parked_at:
                    continue
                if self._counts(outcome.points[point], fault):
                    yield plan.and_then(point, fault)

    def _worth_pairs(self, plan: Plan) -> bool:
        point, fault = plan.faults[-1]
        if fault in BY_OPERATORS and point not in self._bases[plan.scenario].parked_at:
            return False
        return self._counts(self._bases[plan.scenario].points[point], fault)

    def _counts(self, point: tuple[Place, str], fault: str) -> bool:
        """Whether a fault is tried in pairs."""
        place, name = point
        return self._settings.every_fault or stands_for_itself(
            place, fault, one_commit=name in self._world.one_commit
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The first violation, and how many schedules it took."""

    plan: str
    said: str
    schedules: int


def first_violation(settings: Settings, *, depth: int) -> Found | None:
    """Explores singles and then, if they are not enough, pairs, until something does not hold."""
    explorer = Explorer(settings)
    bases = explorer.bases()
    if bases.violations:
        failed, said = bases.violations[0]
        return Found(plan=failed, said=said, schedules=bases.schedules)
    schedules = bases.schedules
    singles: list[tuple[Plan, Outcome]] = []
    with bugs.planted(settings.bug):
        for plan in explorer.singles():
            outcome = explorer.player.play(plan)
            schedules += 1
            if outcome.violations:
                return Found(plan=str(plan), said=str(outcome.violations[0]), schedules=schedules)
            singles.append((plan, outcome))
        if depth < 2:
            return None
        for plan, outcome in singles:
            if not explorer._worth_pairs(plan):
                continue
            for pair in explorer.followers(plan, outcome):
                found = explorer.player.play(pair)
                schedules += 1
                if found.violations:
                    return Found(plan=str(pair), said=str(found.violations[0]), schedules=schedules)
    return None


def explore(
    settings: Settings,
    *,
    depth: int,
    workers: int,
    scenarios: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Tally:
    """Explores with several programs, or with this one alone."""
    explorer = Explorer(settings)
    tally = explorer.bases()
    jobs = [Job(plan=plan, pairs=depth > 1) for plan in explorer.singles(scenarios)]
    if workers <= 1:
        for done, job in enumerate(jobs, start=1):
            tally.add(explorer.do(job))
            progress(done, len(jobs))
        return tally
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=_begin, initargs=(settings,)) as pool:
        for done, part in enumerate(
            pool.imap_unordered(_work, jobs, chunksize=_CHUNK if depth > 1 else 50), start=1
        ):
            tally.add(part)
            progress(done, len(jobs))
    return tally


class _Worker:
    """What a worker program keeps."""

    explorer: Explorer


def _begin(settings: Settings) -> None:
    hush(for_good=True)
    _Worker.explorer = Explorer(settings)


def _work(job: Job) -> Tally:
    return _Worker.explorer.do(job)
