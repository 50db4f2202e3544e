"""What is simulated: a saga, the participants it calls, and what has to hold in the end.

Invariant: a world is made anew for every run, from nothing but what is here, and touches only the
ground it is given. Must never: keep anything between runs, or look at a clock or at chance of its
own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

from bench.simulator.evidence import Evidence, Violation
from chassis.clock import Clock
from orchestrator.action import ActionCall, ActionReply
from orchestrator.saga.code import Code
from orchestrator.saga.definition import Definition
from orchestrator.saga.events import JSON

T = TypeVar("T")


class Down(Exception):  # noqa: N818 - it is what it says
    """The participant's program has died, here and now. Not to be caught by a participant."""


class Ground(Protocol):
    """What participants stand on. Whatever they keep or ask goes through here, to be disturbed."""

    @property
    def clock(self) -> Clock:
        """The time at the participants."""
        ...

    def commit(self, service: str, write: Callable[[], T]) -> T:
        """Commits what `write` does. What it did not commit is not there after a crash.

        Raises:
            Down: The program died before the commit, or after it.
            chassis.faults.Unavailable: The store does not answer; it may have been committed.
        """
        ...

    async def ask(self, service: str, name: str, effect: Callable[[], T]) -> T:
        """Asks an outside world, which does `effect`.

        Raises:
            chassis.faults.Unavailable: It does not answer; it may have been done.
        """
        ...

    def spawn(self, service: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begins a task of the service's program. It dies with it."""
        ...

    def fraction(self) -> float:
        """Chance, from 0 to 1."""
        ...


class Participants(Protocol):
    """The services that a saga calls, with all that they store."""

    def start(self, service: str) -> None:
        """The service's program starts, or starts again: its memory is empty."""
        ...

    def die(self, service: str) -> None:
        """The service's program dies. Tasks that the ground has spawned die without this."""
        ...

    def serve(self, call: ActionCall) -> ActionReply | Awaitable[ActionReply]:
        """Answers a call.

        An answer that has to be awaited dies with the program, or at the caller's deadline.
        """
        ...

    def busy(self) -> bool:
        """Whether something is yet to happen of its own accord."""
        ...

    def by_hand(self, action: str, process_id: str) -> None:
        """A person does an undo by hand."""
        ...

    def records(self) -> Mapping[str, JSON]:
        """All that is stored, in the participants' own words, for checks and comparison."""
        ...


Check: TypeAlias = Callable[[Evidence], list[Violation]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How a process is meant to go."""

    sentence: str
    """What it is, for people."""
    input: Callable[[int], Mapping[str, JSON]]
    """What the n-th process is started with."""
    answers: Mapping[str, tuple[Code, ...]] = field(default_factory=dict)
    """What the first calls of an action are answered in place of the effect."""
    operator: str = ""
    """What is done about a process that is parked: retry, resolve or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A saga to be tried out."""

    name: str
    definition: Definition
    services: Mapping[str, str]
    """The service behind each action."""
    build: Callable[[Ground], Participants]
    scenarios: Mapping[str, Scenario]
    checks: tuple[Check, ...] = ()
    """What has to hold besides what holds of every saga."""
    deadline_seconds: float = 60.0
    one_commit: frozenset[str] = frozenset()
    """The services that do for a call nothing but one commit."""
