"""What can happen to a process. The history of a process is nothing but these, in order.

Invariant: an event is a fact; once it is in the log it is never changed, and it is understood for
ever (`saga_log/codec` reads every one that was ever written). Must never: refer to a definition, so
that a history can be shown by a release that no longer knows the saga.

Times are microseconds since the Unix epoch, UTC: the time that the decision behind the event used.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from chassis.record import record
from orchestrator.saga.code import Code

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""What JSON can say; at run time dicts and lists."""


@record
class Started:
    """The process was accepted. It runs to its end on this version of this definition."""

    definition: str
    version: int
    input: Mapping[str, JSON]
    deadline_us: int
    """Until when steps are tried. Undos are not bound by it."""
    time_us: int


@record
class AttemptBegan:
    """A call is about to leave. In the log before it does."""

    action: str
    """The name of a step or of an undo."""
    attempt: int
    """Which attempt at the action, from 1 on; from 1 again after a retry was requested."""
    time_us: int


@record
class AttemptEnded:
    """A call was answered, or given up. In the log before the next call leaves."""

    action: str
    attempt: int
    code: Code
    reason: str = ""
    message: str = ""
    result: JSON = None
    """What the action gave back; later actions see it under the action's name."""
    not_before_us: int | None = None
    """The earliest time of the next attempt: chance has its say once and is recorded. None: there
    is no next.
    """
    time_us: int


@record
class CancelRequested:
    """Somebody asked for the process to be undone."""

    reason: str
    requested_by: str
    time_us: int


@record
class CompensationBegan:
    """The process turned back. From here on it only undoes."""

    step: str
    """Where. Empty: between two steps."""
    code_name: str
    reason: str
    message: str
    time_us: int


@record
class Parked:
    """The process cannot go on: a person must look."""

    action: str
    """The undo that cannot be done. Empty: it is the whole process."""
    code_name: str
    reason: str
    message: str
    time_us: int


@record
class RetryRequested:
    """An operator has what is parked tried afresh."""

    reason: str
    requested_by: str
    time_us: int


@record
class ResolvedByHand:
    """An operator says that the parked undo was done by hand."""

    action: str
    reason: str
    requested_by: str
    time_us: int


@record
class Completed:
    """Every step was done."""

    time_us: int


@record
class Cancelled:
    """Everything that had been done was undone."""

    time_us: int


Event: TypeAlias = (
    Started
    | AttemptBegan
    | AttemptEnded
    | CancelRequested
    | CompensationBegan
    | Parked
    | RetryRequested
    | ResolvedByHand
    | Completed
    | Cancelled
)
