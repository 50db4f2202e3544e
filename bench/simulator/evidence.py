"""What a run leaves behind, for those who judge it.

Invariant: plain texts and numbers, as they are stored or were said; nothing that the runner or the
saga's state computed. Must never: hold an object of the product.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class RawEvent(NamedTuple):
    """An event as it is stored."""

    kind: str
    time_us: int
    body: str


class RawRow(NamedTuple):
    """A process's row as it is stored."""

    phase: str
    revision: int
    epoch: int
    owner: str | None
    due_time_us: int | None


class Write(NamedTuple):
    """That somebody wrote into a history, or took a process over."""

    process_id: str
    owner: str
    """Empty: by sequence alone."""
    takes_over: bool


class Called(NamedTuple):
    """That a call left an orchestrator."""

    process_id: str
    action: str
    attempt: int
    in_log: bool
    """Whether its attempt was in the log by then."""


class Told(NamedTuple):
    """What somebody was told of a process."""

    process_id: str
    what: str
    """`accepted`, a phase, or `cancel`, `retry`, `resolve` that were confirmed."""
    revision: int


class Violation(NamedTuple):
    """What does not hold."""

    rule: str
    said: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.rule}: {self.said}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaShape:
    """A definition in plain words."""

    steps: tuple[str, ...]
    undo_of: Mapping[str, str]
    """The undo that undoes a step, where there is one; also where it is another step's."""
    undos: tuple[str, ...]
    """In the order in which they are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A run that is over."""

    shape: SagaShape
    histories: Mapping[str, Sequence[RawEvent]]
    """By process id."""
    rows: Mapping[str, RawRow]
    requests: Mapping[str, str]
    """The process id that each request id was told last."""
    writes: Sequence[Write]
    calls: Sequence[Called]
    told: Sequence[Told]
    records: Mapping[str, Any]
    """What the participants stored."""
    complaints: Sequence[str]
    """What participants and programs complained of."""
