"""Whether the log alone reproduces every command.

Invariant: it asks the product's own `decide`, for that is what is to be reproduced; everything else
is judged without it, in `invariants`. Must never: be taken for an independent judge.
"""

from bench.simulator.evidence import Evidence, Violation
from orchestrator.saga.definition import Definition
from orchestrator.saga.replay_check import divergence
from orchestrator.saga_log.codec import Undecodable, decode


def check_replay(definition: Definition, evidence: Evidence) -> list[Violation]:
    """Where histories and decisions part."""
    found = []
    for process_id, history in evidence.histories.items():
        try:
            events = [decode(*event) for event in history]
            said = divergence(definition, events)
        except (Undecodable, AssertionError) as error:
            said = f"{type(error).__name__}: {error}"
        if said:
            found.append(Violation("the log reproduces every command", f"{process_id}: {said}"))
    return found
