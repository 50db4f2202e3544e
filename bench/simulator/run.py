"""One run from its beginning to its judgement.

Invariant: the same world, scenario and plan give the same outcome. Must never: keep anything of a
run but what it returns.
"""

import gc
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.simulator import faults, quiet
from bench.simulator.evidence import Evidence, RawEvent, RawRow, SagaShape, Violation
from bench.simulator.faults import Place
from bench.simulator.invariants import check_saga
from bench.simulator.loop import Livelock, new_loop
from bench.simulator.plan import Plan
from bench.simulator.replay import Replays
from bench.simulator.schedule import Planned
from bench.simulator.stage import Stage
from bench.simulator.world import World

PATIENCE_SECONDS: Final = 1_800.0
"""Of virtual time."""
OPERATIONS_MAX: Final = 3
_GC_EVERY: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run."""

    points: Sequence[tuple[Place, str]]
    parked_at: Sequence[int]
    """The points at which the process was parked."""
    end_state: bytes
    """A digest of what everything was like in the end."""
    story: bytes
    """A digest of that and of what happened on the way, times aside."""
    phase: str
    violations: Sequence[Violation]
    trace: Sequence[str] = ()
    history: Sequence[RawEvent] = ()


def shape_of(world: World) -> SagaShape:
    """A definition in plain words."""
    undo_of = {
        step.name: undo
        for step in world.definition.steps
        if (undo := step.undo or step.covered_by) is not None
    }
    return SagaShape(
        steps=tuple(step.name for step in world.definition.steps),
        undo_of=undo_of,
        undos=tuple(
            step.undo for step in reversed(world.definition.steps) if step.undo is not None
        ),
    )


class Player:
    """Runs plans on a world, one after the other."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._shape = shape_of(world)
        self._replays = Replays(world.definition)
        self._runs = 0

    def play(self, plan: Plan, *, traced: bool = False) -> Outcome:
        """Runs one process under a plan."""
        self._runs += 1
        if self._runs % _GC_EVERY == 0:
            gc.collect()
        quiet.heard.clear()
        scheduler = Planned(plan)
        loop = new_loop()
        scenario = self._world.scenarios[plan.scenario]
        stage = Stage(self._world, scenario, scheduler, loop)
        if traced:
            stage.trace = []
        end = End(stage)
        stage.start_first()
        stage.desk.place(1, scenario)
        complaints = []
        try:
            if not loop.run(idle=end.idle, until_seconds=PATIENCE_SECONDS):
                complaints.append("it does not come to rest")
        except Livelock as livelock:
            complaints.append(f"it goes on without getting anywhere, {livelock}")
        evidence = gather(stage, self._shape, complaints)
        violations = judge(self._world, evidence, self._replays)
        rows = list(evidence.rows.values())
        return Outcome(
            points=scheduler.points,
            parked_at=stage.parked_at,
            end_state=end_state_of(evidence),
            story=story_of(evidence),
            phase=rows[0].phase if rows else "",
            violations=violations,
            trace=stage.trace or (),
            history=next(iter(evidence.histories.values()), ()),
        )


class End:
    """Says when a run is over, and has happen what happens only then."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._operations = 0
        self._settled_at = 0.0

    def idle(self) -> bool:  # noqa: PLR0911 - one question after the other
        """Whether everything is over; asked when nothing is ready."""
        stage = self._stage
        if stage.desk.waiting or stage.network.under_way or stage.busy:
            return False
        if any(row.due_time_us is not None for row in stage.log.rows()):
            return False
        if stage.participants.busy():
            return False
        if stage.network.deliver_last():
            return False
        held = [node for node in stage.nodes if node.held is not None]
        for node in held:
            stage.go_on(node)
        if held:
            return False
        fault = stage.at(Place.REST, "rest")
        if fault is None:
            fault = self._operator()
        if fault is None:
            return True
        stage.do(stage.strike(stage.front, fault, ""))
        return False

    def _operator(self) -> str | None:
        """What the scenario's operator does about a process that is parked."""
        parked = any(row.phase.value == "PARKED" for row in self._stage.log.rows())
        if not parked or self._operations >= OPERATIONS_MAX:
            return None
        self._operations += 1
        return {"retry": faults.RETRY, "resolve": faults.RESOLVE}.get(self._stage.scenario.operator)


def gather(stage: Stage, shape: SagaShape, complaints: Sequence[str]) -> Evidence:
    """What a run has left behind."""
    rows = {
        row.process_id: RawRow(row.phase.value, row.revision, row.epoch, row.owner, row.due_time_us)
        for row in stage.log.rows()
    }
    return Evidence(
        shape=shape,
        histories={
            process_id: [RawEvent(*text) for text in stage.log.texts(process_id)]
            for process_id in rows
        },
        rows=rows,
        requests=dict(stage.desk.requests),
        writes=stage.writes,
        calls=stage.calls,
        told=stage.told,
        records=stage.participants.records(),
        complaints=(*complaints, *stage.loop.complaints, *quiet.heard),
    )


def judge(world: World, evidence: Evidence, replays: Replays) -> list[Violation]:
    """Everything that does not hold."""
    found = check_saga(evidence)
    for check in world.checks:
        found += check(evidence)
    found += replays.check(evidence)
    return found


def end_state_of(evidence: Evidence) -> bytes:
    """A digest of rows and effects."""
    said = {
        "phases": [row.phase for row in evidence.rows.values()],
        "records": {name: value for name, value in evidence.records.items() if name != "journal"},
    }
    return _digest(said)


def story_of(evidence: Evidence) -> bytes:
    """A digest of rows, effects and the kinds of what happened, times aside."""
    said = {
        "records": evidence.records,
        "happened": [
            [_without_times(event) for event in history] for history in evidence.histories.values()
        ],
    }
    return _digest(said)


def _digest(said: object) -> bytes:
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=8).digest()


def _without_times(event: RawEvent) -> str:
    # Beyond the code of an attempt the bodies say nothing new.
    if event.kind != "attempt_ended":
        return event.kind
    start = event.body.index('"code":"') + 8
    return event.body[start : event.body.index('"', start)]
