"""Where a process is: what its history comes to.

Invariant: small, for ten thousand processes keep one each in memory; a state is only ever made by
`evolve`. Must never: hold what does not follow from the history.
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from chassis.record import record
from orchestrator.saga.code import Code
from orchestrator.saga.events import JSON


class Phase(StrEnum):
    """How a process stands."""

    RUNNING = "RUNNING"
    COMPENSATING = "COMPENSATING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    PARKED = "PARKED"

    settled: bool
    """Whether it has come to its end."""
    at_rest: bool
    """Whether nothing more happens to it of its own accord."""


class ActionStatus(StrEnum):
    """How far an action is."""

    RUNNING = "RUNNING"
    """Being tried, or waiting to be tried again."""
    SUCCEEDED = "SUCCEEDED"
    REJECTED = "REJECTED"
    """Not done, and known not to be."""
    UNKNOWN = "UNKNOWN"
    """Given up without knowing whether it was done."""
    RESOLVED_BY_HAND = "RESOLVED_BY_HAND"

    done: bool
    """Whether its effect is there."""


# Said once of each: a property would be asked, and look the members up, dozens of times a process.
for _phase in Phase:
    _phase.settled = _phase in {Phase.COMPLETED, Phase.CANCELLED}
    _phase.at_rest = _phase.settled or _phase is Phase.PARKED
for _status in ActionStatus:
    _status.done = _status in {ActionStatus.SUCCEEDED, ActionStatus.RESOLVED_BY_HAND}


@record
class ActionState:
    """A step or an undo that was begun."""

    name: str
    undo: bool
    status: ActionStatus
    attempts: int
    """Begun since the action was first tried, or since a retry was last requested."""
    start_us: int
    since_us: int
    """From when on the attempts count: the first one, or the last retry request."""
    end_us: int | None = None
    code: Code | None = None
    """Of the last attempt that ended; so are reason and message."""
    reason: str = ""
    message: str = ""
    not_before_us: int | None = None
    """The end of the pause after the last attempt. None: no pause."""
    in_flight: bool = False
    """An attempt began and did not end: under way, or cut short by a crash."""
    in_doubt: bool = False
    """An attempt may have been applied, or may yet be, whatever a later one was told."""


@record
class Failure:
    """Why the process turned back."""

    step: str
    code_name: str
    reason: str
    message: str


@record
class Parking:
    """Why the process cannot go on."""

    action: str
    code_name: str
    reason: str
    message: str
    time_us: int
    phase: Phase
    """What it was parked from."""


@record
class Resolution:
    """An undo that a person has done by hand."""

    action: str
    reason: str
    requested_by: str
    time_us: int


@record
class CancelWish:
    """Somebody's wish to have the process undone: the first, where there were several."""

    reason: str
    requested_by: str
    time_us: int


@record
class SagaState:
    """A process as its history tells it."""

    definition_name: str
    definition_version: int
    input: Mapping[str, JSON]
    phase: Phase
    actions: tuple[ActionState, ...] = ()
    """In the order in which they were begun."""
    results: Mapping[str, JSON] = field(default_factory=dict)
    """What actions gave back, by their names."""
    failure: Failure | None = None
    parking: Parking | None = None
    resolutions: tuple[Resolution, ...] = ()
    cancel: CancelWish | None = None
    deadline_us: int
    create_time_us: int
    update_time_us: int
    end_time_us: int | None = None
    revision: int = 1

    @property
    def definition_key(self) -> tuple[str, int]:
        """Which definition it runs on."""
        return self.definition_name, self.definition_version

    @property
    def waits_until_us(self) -> int | None:
        """The end of the present pause. None while a call is under way, and when at rest."""
        if self.phase.at_rest or not self.actions:
            return None
        last = self.actions[-1]
        return last.not_before_us if last.status is ActionStatus.RUNNING else None

    def action(self, name: str) -> ActionState | None:
        """The action of that name, if it was begun."""
        # It is nearly always the last that is asked for.
        for action in reversed(self.actions):
            if action.name == name:
                return action
        return None
