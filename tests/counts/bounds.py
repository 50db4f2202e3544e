"""What each count was when its bound was last set, and what it may be.

Whoever makes one of them worse sees here what it was. `exact` says how often something may happen;
`about` leaves a tenth for what does not matter. What they are now, each beside its bound:
`python -m pytest tests/counts -rP | grep 'at most'`. A bound is lowered with the change that made
it too wide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

SLACK: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    was: int
    at_most: int


def exact(was: int) -> Bound:
    return Bound(was=was, at_most=was)


def about(was: int) -> Bound:
    return Bound(was=was, at_most=round(was * (1 + SLACK)))


BOUNDS: Final[Mapping[str, Bound]] = MappingProxyType(
    {
        # The saga log, from StartOrderProcess to its answer. BEGIN and COMMIT are statements too.
        "commits for one process": exact(6),
        "commits for 64 processes at once": exact(6),
        "statements for 64 creates, sqlite": exact(4),
        "statements for 64 creates, postgresql": exact(4),
        "statements for 64 appends, sqlite": exact(4),
        "statements for 64 appends, postgresql": exact(3),
        "statements for one append, sqlite": exact(4),
        "statements for one append, postgresql": exact(3),
        # A batch is one message, with its BEGIN, and the COMMIT another.
        "messages to a server for 64 processes at once, sqlite": exact(0),
        "messages to a server for 64 processes at once, postgresql": exact(12),
        "reads of the log for 64 processes": exact(0),
        # How it began, and its first attempt; then one for each step.
        "rows of events for one process": exact(7),
        # Calls to participants.
        "calls for a delivered order": exact(5),
        "calls for an undeliverable order": exact(7),
        "calls for an order whose delivery is in doubt": exact(9),
        "calls that are no attempts, for 8 orders": exact(0),
        # Participants. A payment is stored before its gateway is asked, and after. A server is sent
        # each UPDATE of theirs by itself.
        "commits for 16 CreateOrder": exact(1),
        "commits for 16 ConfirmOrder": exact(1),
        "commits for 16 CreatePayment": exact(2),
        "commits for 16 CreateDelivery": exact(1),
        "statements for 16 CreateOrder, sqlite": exact(4),
        "statements for 16 CreateOrder, postgresql": exact(4),
        "statements for 16 ConfirmOrder, sqlite": exact(4),
        "statements for 16 ConfirmOrder, postgresql": exact(4),
        "statements for 16 CreatePayment, sqlite": exact(8),
        "statements for 16 CreatePayment, postgresql": exact(8),
        "statements for 16 CreateDelivery, sqlite": exact(7),
        "statements for 16 CreateDelivery, postgresql": exact(9),
        # What Python does: calls of functions (see harness/python_calls.py), blocks of memory.
        "function calls: to fold a delivered history": about(84),
        "function calls: to decide its six commits": about(117),
        "function calls: to encode its events": about(35),
        "function calls: to encode and decode them": about(370),
        "function calls: to show it": about(36),
        "function calls: a process in the loop's thread": about(798),
        "function calls: a process in the writer's thread, sqlite": about(65),
        "function calls: a process in the writer's thread, postgresql": about(71),
        "function calls: an order that is turned away, in the loop's thread": about(73),
        "blocks of memory for a process in flight": about(106),
    }
)


def over(name: str, count: float) -> str:
    """What is wrong with a count; "" where it is within its bound."""
    bound = BOUNDS[name]
    if count <= bound.at_most:
        return ""
    return f"{name}: {count:g}, at most {bound.at_most} (it was {bound.was}; see {__name__})"


def check(name: str, count: float, seen: object = "") -> None:
    """Fails where a count is over its bound, and shows what was `seen`."""
    print(f"{name}: {count:g}, at most {BOUNDS[name].at_most}")  # noqa: T201 - for -rP
    assert "" == over(name, count), seen
