"""What can go wrong, and where.

Invariant: every fault keeps to what networks, stores, programs and people can do; none of them has
a participant lie. So a violation is never the fault's own. Must never: do anything; the stage does.

A point is a place where something can go wrong: just around a commit, a call, a question to the
gateway, or where everything is at rest. A fault is a word, as it is printed in plans.

What is left out, because it is a lie and no saga can stand it: an OK for what was not done, and a
refusal that no gRPC library makes (see `orchestrator.saga.outcome`) for a step that *was* done. So
where a library has said RESOURCE_EXHAUSTED of what was done, a participant that is asked again
looks, and does not reject it.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from orchestrator.saga.code import Code


class Place(StrEnum):
    """The kinds of points."""

    LOG = "log"
    """A commit of the saga log."""
    READ = "read"
    """A read of the saga log."""
    CALL = "call"
    """A call of a participant."""
    UNDO = "undo"
    """The same, where the action is an undo."""
    COMMIT = "commit"
    """A commit of a participant."""
    ASK = "ask"
    """A question to the outside world behind a participant."""
    FRONT = "front"
    """A commit of somebody's Cancel, Retry or Resolve."""
    REST = "rest"
    """Everything is at rest."""


CRASH_BEFORE: Final = "crash-before"
CRASH_AFTER: Final = "crash-after"
CRASH_FLIGHT: Final = "crash-in-flight"
LOST: Final = "lost"
UNANSWERED: Final = "unanswered"
LATE: Final = "late"
LAST: Final = "last"
CUT_LAST: Final = "cut-last"
TWICE: Final = "twice"
TWICE_LAST: Final = "twice-last"
SLOW: Final = "slow"
DOWN: Final = "down"
OUT_SHORT: Final = "out-5s"
OUT_LONG: Final = "out-100s"
USURPED_BEFORE: Final = "usurped-before"
USURPED_AFTER: Final = "usurped-after"
OVERTAKEN_BEFORE: Final = "overtaken-before"
OVERTAKEN_AFTER: Final = "overtaken-after"
CANCEL_BEFORE: Final = "cancel-before"
CANCEL_AFTER: Final = "cancel-after"
RETRY: Final = "retry"
RESOLVE: Final = "resolve"

# Codes that a library, a proxy or a machine that stops can make after the handler has run.
_AFTER_THE_EFFECT: Final = (
    Code.CANCELLED,
    Code.UNKNOWN,
    Code.DEADLINE_EXCEEDED,
    Code.RESOURCE_EXHAUSTED,
    Code.INTERNAL,
    Code.UNAVAILABLE,
    Code.DATA_LOSS,
)


def answers(code: Code, *, after: bool) -> str:
    """The fault that has a call answered with a code, in place of the effect or after it."""
    return f"{code.name}-after" if after else code.name


_INSTEAD: Final = tuple(answers(code, after=False) for code in Code if code is not Code.OK)
_BY_OTHERS: Final = (CANCEL_BEFORE, CANCEL_AFTER, RETRY, RESOLVE)
_OF_THE_ORCHESTRATOR: Final = (
    CRASH_BEFORE,
    CRASH_AFTER,
    USURPED_BEFORE,
    USURPED_AFTER,
    OVERTAKEN_BEFORE,
    OVERTAKEN_AFTER,
    *_BY_OTHERS,
)
_OF_A_CALL: Final = (
    LOST,
    UNANSWERED,
    LATE,
    LAST,
    CUT_LAST,
    TWICE,
    TWICE_LAST,
    CRASH_FLIGHT,
    DOWN,
    OUT_SHORT,
    OUT_LONG,
    *_OF_THE_ORCHESTRATOR,
)

MENU: Final[Mapping[Place, tuple[str, ...]]] = MappingProxyType(
    {
        Place.LOG: (LOST, UNANSWERED, *_OF_THE_ORCHESTRATOR),
        Place.READ: (LOST, CRASH_BEFORE, CANCEL_BEFORE),
        Place.CALL: (
            *_INSTEAD,
            *(answers(code, after=True) for code in _AFTER_THE_EFFECT),
            *_OF_A_CALL,
        ),
        # An undo that was done and is said not to be is no danger: it is looked into.
        Place.UNDO: (
            *_INSTEAD,
            *(answers(code, after=True) for code in Code if code is not Code.OK),
            *_OF_A_CALL,
        ),
        Place.COMMIT: (LOST, UNANSWERED, CRASH_BEFORE, CRASH_AFTER),
        Place.ASK: (LOST, UNANSWERED, SLOW, CRASH_BEFORE, CRASH_AFTER),
        Place.FRONT: (LOST, UNANSWERED, CANCEL_BEFORE, RETRY, RESOLVE),
        Place.REST: (CANCEL_BEFORE, RETRY, RESOLVE),
    }
)
"""Every fault of every place."""

_ALIKE: Final = (
    (Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.ALREADY_EXISTS,
     Code.OUT_OF_RANGE),
    (Code.UNIMPLEMENTED, Code.PERMISSION_DENIED, Code.UNAUTHENTICATED),
    (Code.RESOURCE_EXHAUSTED, Code.ABORTED),
    (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.UNKNOWN, Code.INTERNAL,
     Code.DATA_LOSS),
)  # fmt: skip
LIKE: Final[Mapping[str, str]] = MappingProxyType(
    {
        answers(code, after=after): answers(codes[0], after=after)
        for codes in _ALIKE
        for code in codes
        for after in (False, True)
    }
)
"""The fault that stands for an answer with a code: codes of one outcome lead to the same, names
aside. Singles try them all, and a test compares what they lead to."""
REJECTIONS: Final = frozenset(answers(code, after=False) for code in _ALIKE[0])
"""A participant's word that it did nothing."""
BY_OPERATORS: Final = frozenset({RETRY, RESOLVE})
"""These are turned away unless a process is parked, and change nothing then."""

JUST_BEFORE: Final = MappingProxyType(
    {
        CRASH_BEFORE: CRASH_AFTER,
        USURPED_BEFORE: USURPED_AFTER,
        OVERTAKEN_BEFORE: OVERTAKEN_AFTER,
        CANCEL_BEFORE: CANCEL_AFTER,
    }
)
"""What befalls an orchestrator just before a call is what befalls it right after the commit that
lets the call leave, for nothing happens in between; and what befalls it right after the reply is
what befalls it just before the commit of the outcome. So in pairs the commits stand for the calls;
singles try both, and a test compares what they lead to."""
_OF_COMMITS: Final = frozenset({*JUST_BEFORE.keys(), *JUST_BEFORE.values()})
AT_THE_CALL: Final = MappingProxyType(
    {LOST: "UNAVAILABLE", UNANSWERED: "UNAVAILABLE-after", CRASH_BEFORE: DOWN}
)
"""Where all that a service does for a call is one commit, these faults of the commit are those of
the call."""


def stands_for_itself(place: Place, fault: str, *, one_commit: bool) -> bool:
    """Whether a fault is tried in pairs; otherwise another one that is leads to the same."""
    if place in {Place.CALL, Place.UNDO}:
        return fault not in _OF_COMMITS and LIKE.get(fault, fault) == fault
    return not (place is Place.COMMIT and one_commit and fault in AT_THE_CALL)


CODES: Final[Mapping[str, tuple[Code, bool]]] = MappingProxyType(
    {answers(code, after=after): (code, after) for code in Code for after in (False, True)}
)
"""The code that a fault answers with, and whether that is after the effect."""
