"""What an audit reads of the participants.

Invariant: reading changes nothing. Must never: know how a participant is called.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.audit.accounts import Entity, EntityKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Entities, newest first."""

    entities: Sequence[Entity]
    more: bool = False
    """Whether there are more of them than were asked for."""
    damaged: bool = False
    """Whether the participant cannot read something of that time: then there are none here."""


class Book(Protocol):
    """What one participant keeps.

    Every method raises `faults.Unavailable` (PARTICIPANT_UNAVAILABLE), which names the participant,
    when it does not answer.
    """

    @property
    def kind(self) -> EntityKind:
        """What is kept in it."""
        ...

    async def list(self, *, from_us: int, before_us: int, limit: int | None) -> Listed:
        """The newest of what was created from then on and before then; None: all of it."""
        ...

    async def get(self, entity_id: str) -> Entity | None:
        """One of them; UNREADABLE, if the participant cannot read it. None: there is no such."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What all of them keep."""

    orders: Book
    payments: Book
    deliveries: Book

    def all(self) -> tuple[Book, Book, Book]:
        """One after the other."""
        return self.orders, self.payments, self.deliveries
