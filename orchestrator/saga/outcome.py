"""What a status code means for an attempt, and what follows from it.

Invariant: every code has one outcome, every outcome one sequel for a step and one for an undo;
these tables decide, and nothing else looks at a code. Must never: hold a rule in anything but a
table.

The question behind the rows is: may the call have been applied? Codes that no gRPC library makes by
itself were said by the participant, which did nothing; codes of the door mean that the call never
got in; the others may arrive after the effect.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from orchestrator.saga.code import Code


class Outcome(StrEnum):
    """What became of one attempt."""

    SUCCEEDED = "succeeded"
    """Applied."""
    REJECTED = "rejected"
    """Not applied: the participant said so."""
    BARRED = "barred"
    """Not applied: turned away at the door."""
    REFUSED = "refused"
    """Not applied now; later it may be."""
    UNKNOWN = "unknown"
    """May have been applied, or may yet be."""


class Sequel(StrEnum):
    """What follows."""

    GO_ON = "go on"
    TRY_AGAIN = "try again"
    TURN_BACK = "turn back"
    PARK = "park"


OUTCOMES: Final[Mapping[Code, Outcome]] = MappingProxyType(
    {
        Code.OK: Outcome.SUCCEEDED,
        Code.INVALID_ARGUMENT: Outcome.REJECTED,
        Code.NOT_FOUND: Outcome.REJECTED,
        Code.ALREADY_EXISTS: Outcome.REJECTED,
        Code.FAILED_PRECONDITION: Outcome.REJECTED,
        Code.OUT_OF_RANGE: Outcome.REJECTED,
        Code.PERMISSION_DENIED: Outcome.BARRED,
        Code.UNAUTHENTICATED: Outcome.BARRED,
        Code.UNIMPLEMENTED: Outcome.BARRED,
        Code.ABORTED: Outcome.REFUSED,
        Code.RESOURCE_EXHAUSTED: Outcome.REFUSED,
        Code.UNAVAILABLE: Outcome.UNKNOWN,
        Code.DEADLINE_EXCEEDED: Outcome.UNKNOWN,
        Code.CANCELLED: Outcome.UNKNOWN,
        Code.UNKNOWN: Outcome.UNKNOWN,
        Code.INTERNAL: Outcome.UNKNOWN,
        Code.DATA_LOSS: Outcome.UNKNOWN,
    }
)

STEP_SEQUELS: Final[Mapping[Outcome, Sequel]] = MappingProxyType(
    {
        Outcome.SUCCEEDED: Sequel.GO_ON,
        Outcome.REJECTED: Sequel.TURN_BACK,
        Outcome.BARRED: Sequel.TURN_BACK,
        Outcome.REFUSED: Sequel.TRY_AGAIN,
        Outcome.UNKNOWN: Sequel.TRY_AGAIN,
    }
)

# An undo that is barred goes on being tried: a certificate mishap must not park every undo.
UNDO_SEQUELS: Final[Mapping[Outcome, Sequel]] = MappingProxyType(
    {
        Outcome.SUCCEEDED: Sequel.GO_ON,
        Outcome.REJECTED: Sequel.PARK,
        Outcome.BARRED: Sequel.TRY_AGAIN,
        Outcome.REFUSED: Sequel.TRY_AGAIN,
        Outcome.UNKNOWN: Sequel.TRY_AGAIN,
    }
)


def sequel_of(code: Code, *, undo: bool) -> Sequel:
    """What follows an attempt at a step, or at an undo, that ended with this code."""
    return (UNDO_SEQUELS if undo else STEP_SEQUELS)[OUTCOMES[code]]
