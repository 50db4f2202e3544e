"""The world that a saga acts upon: effects, and the tombstones of what was undone before it was
done.
"""

from orchestrator.action import ActionCall
from orchestrator.saga.definition import Definition, Step


class World:
    """Participants as the contract has them: idempotent, and an undo leaves a tombstone."""

    def __init__(self, definition: Definition) -> None:
        self._steps = {step.name: step for step in definition.steps}
        self.effects: set[tuple[str, str]] = set()
        """(process, step) of what is done now."""
        self._tombstones: set[tuple[str, str]] = set()

    def takes(self, call: ActionCall) -> bool:
        """Whether the call can be applied: nothing is done after its undo."""
        step = self._steps.get(call.action)
        return step is None or (call.process_id, _undo_of(step)) not in self._tombstones

    def has(self, call: ActionCall) -> bool:
        """Whether a step is done: then a participant never says that it cannot be."""
        return (call.process_id, call.action) in self.effects

    def apply(self, call: ActionCall) -> None:
        if not self.takes(call):
            return
        if call.action in self._steps:
            self.effects.add((call.process_id, call.action))
        else:
            self.undo(call.process_id, call.action)

    def undo(self, process_id: str, undo: str) -> None:
        self._tombstones.add((process_id, undo))
        self.effects -= {
            (process_id, step.name) for step in self._steps.values() if _undo_of(step) == undo
        }

    def effects_of(self, process_id: str) -> set[str]:
        return {step for owner, step in self.effects if owner == process_id}

    def lasting_effects_of(self, process_id: str) -> set[str]:
        """Without those that no undo undoes."""
        return {
            step for step in self.effects_of(process_id) if _undo_of(self._steps[step]) is not None
        }


def _undo_of(step: Step) -> str | None:
    return step.undo or step.covered_by
