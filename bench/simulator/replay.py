"""Whether the log alone reproduces every command.

Invariant: it asks the product's own `decide`, for that is what is to be reproduced; everything else
is judged without it, in `invariants`. Must never: be taken for an independent judge.
"""

from collections.abc import Sequence

from bench.simulator.evidence import Evidence, RawEvent, Violation
from orchestrator.saga.definition import Definition
from orchestrator.saga.replay_check import divergence
from orchestrator.saga_log.codec import Undecodable, decode


class Replays:
    """Checks histories against one definition. The same history is checked once."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._said: dict[int, str] = {}

    def check(self, evidence: Evidence) -> list[Violation]:
        """Where histories and decisions part."""
        found = []
        for process_id, history in evidence.histories.items():
            key = hash(tuple(history))
            said = self._said.get(key)
            if said is None:
                said = self._said[key] = self._part(history)
            if said:
                found.append(Violation("the log reproduces every command", f"{process_id}: {said}"))
        return found

    def _part(self, history: Sequence[RawEvent]) -> str:
        try:
            return divergence(self._definition, [decode(*event) for event in history])
        except (Undecodable, AssertionError) as error:
            return f"{type(error).__name__}: {error}"
