"""Purging: what is over is deleted, many ids in one call, and what is kept is named.

Invariant: an entity is deleted only by a removal that looked at it in the transaction that deletes
it; one that cannot be read, or is not over, is kept, and never keeps another one from going. It
must never decide what is over: the domain does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from chassis import faults
from chassis.validation import Violations

IDS_MAX: Final = 1_000

NOT_OVER: Final = "NOT_OVER"
UNREADABLE: Final = "UNREADABLE"

E = TypeVar("E")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Generic[E]):
    """An entity that was to be deleted, and is still there. None: it cannot be read."""

    entity_id: str
    entity: E | None

    @property
    def reason(self) -> str:
        """Why it is kept, in a word."""
        return UNREADABLE if self.entity is None else NOT_OVER


def read_ids(field: str, ids: Iterable[str]) -> tuple[str, ...]:
    """The ids that may be deleted, each once, as they were sent in `field`.

    Raises:
        faults.Invalid: Something is wrong; every offending field is named.
    """
    violations = Violations()
    sent = list(ids)
    if not 1 <= len(sent) <= IDS_MAX:
        violations.add(field, f"must have 1 to {IDS_MAX} entries")
    else:
        for index, entity_id in enumerate(sent):
            violations.identifier(f"{field}[{index}]", entity_id)
    violations.raise_if_any()
    return tuple(dict.fromkeys(sent))


async def purge(ids: Sequence[str], remove: Callable[[str], Awaitable[E | None]]) -> list[Kept[E]]:
    """Has all of them removed; what is still there then, in the order given.

    Args:
        ids: Of entities; one that is not there is as good as deleted.
        remove: Deletes one; answers the entity where it is to stay, None where there is none.

    Raises:
        faults.Unavailable: Some may be deleted; the same call goes on with the others.
        faults.Overloaded: As Unavailable.
    """
    outcomes = await asyncio.gather(*map(remove, ids), return_exceptions=True)
    kept: list[Kept[E]] = []
    for entity_id, outcome in zip(ids, outcomes, strict=True):
        if isinstance(outcome, faults.Defect):
            # It was run alone, and failed alone: its row is one that nobody here writes.
            kept.append(Kept(entity_id=entity_id, entity=None))
        elif isinstance(outcome, BaseException):
            raise outcome
        elif outcome is not None:
            kept.append(Kept(entity_id=entity_id, entity=outcome))
    return kept
