"""Participants for a saga of your own: effects that are there or not, as the contract has them.

Invariant: a step takes effect at most once for a process, an undo takes it away and leaves a
tombstone, and no effect appears after it. Must never: know what the effects are.

`effects_world(DEFINITION)` is a world in which only the saga is yours. To try out your participants
as well, write a class with the methods of `world.Participants`, and build the `World` yourself.
"""

from collections.abc import Callable, Mapping
from typing import Final

from bench.simulator.evidence import Evidence, Violation
from bench.simulator.world import Ground, Scenario, World
from orchestrator.action import ActionCall, ActionReply
from orchestrator.saga.code import Code
from orchestrator.saga.definition import Definition
from orchestrator.saga.events import JSON

SERVICE: Final = "services"
_OK: Final = ActionReply(code=Code.OK)
_REJECTED: Final = ActionReply(code=Code.FAILED_PRECONDITION, reason="REJECTED")
_CANCELLED: Final = ActionReply(code=Code.FAILED_PRECONDITION, reason="ALREADY_CANCELLED")


class Effects:
    """All the services of a saga, each step an effect."""

    def __init__(self, ground: Ground, definition: Definition) -> None:
        self._ground = ground
        self._undo_of = {step.name: step.undo or step.covered_by for step in definition.steps}
        self._effects: dict[tuple[str, str], None] = {}
        self._tombstones: dict[tuple[str, str], None] = {}

    def start(self, service: str) -> None:
        """There is nothing in memory to be lost."""

    def die(self, service: str) -> None:
        """There is nothing in memory to be lost."""

    def serve(self, call: ActionCall) -> ActionReply:
        """Answers a call."""
        place = (call.process_id, call.action)
        if call.action not in self._undo_of:
            if place not in self._tombstones:
                self._ground.commit(SERVICE, lambda: self._undo(*place))
            return _OK
        if (call.process_id, self._undo_of[call.action]) in self._tombstones:
            return _CANCELLED
        if call.input.get("rejects") == call.action:
            # For good: a participant stores its refusal, and a repeat gets the same.
            return _REJECTED
        if place not in self._effects:
            self._ground.commit(SERVICE, lambda: self._effects.setdefault(place))
        return _OK

    def busy(self) -> bool:
        """Nothing happens here of its own accord."""
        return False

    def by_hand(self, action: str, process_id: str) -> None:
        """A person does an undo by hand."""
        self._undo(process_id, action)

    def records(self) -> Mapping[str, JSON]:
        """What is there, by process."""
        return {
            "effects": [list(place) for place in self._effects],
            "tombstones": [list(place) for place in self._tombstones],
        }

    def _undo(self, process_id: str, undo: str) -> None:
        self._tombstones[process_id, undo] = None
        for step, its_undo in self._undo_of.items():
            if its_undo == undo:
                self._effects.pop((process_id, step), None)


def check_effects(evidence: Evidence) -> list[Violation]:
    """COMPLETED: every step has its effect. CANCELLED: none that can be undone has."""
    found = []
    there: dict[str, set[str]] = {}
    for process_id, step in evidence.records["effects"]:
        there.setdefault(process_id, set()).add(step)
    for process_id, row in evidence.rows.items():
        effects = there.get(process_id, set())
        missing = set(evidence.shape.steps) - effects
        if row.phase == "COMPLETED" and missing:
            said = f"{process_id} lacks {', '.join(sorted(missing))}"
            found.append(Violation("COMPLETED has every effect", said))
        left = effects & set(evidence.shape.undo_of)
        if row.phase == "CANCELLED" and left:
            said = f"{process_id} still has {', '.join(sorted(left))}"
            found.append(Violation("CANCELLED leaves nothing behind", said))
    return found


def effects_world(definition: Definition, *, deadline_seconds: float = 60.0) -> World:
    """A world in which every step of a saga is an effect.

    Besides the scenario in which all goes well there is one for each step that is rejected.
    """
    rejected = {
        f"no-{step.name.replace('_', '-')}": Scenario(
            sentence=f"{step.name} is rejected",
            input=_input(rejects=step.name),
        )
        for step in definition.steps
    }
    return World(
        name=definition.name,
        definition=definition,
        services=dict.fromkeys(definition.actions(), SERVICE),
        build=lambda ground: Effects(ground, definition),
        scenarios={
            "all-goes-well": Scenario(sentence="all goes well", input=_input()),
            **rejected,
        },
        checks=(check_effects,),
        deadline_seconds=deadline_seconds,
        one_commit=frozenset({SERVICE}),
    )


def _input(*, rejects: str = "") -> Callable[[int], Mapping[str, JSON]]:
    return lambda number: {"number": number, "rejects": rejects}
