"""One window of create time: what the log and the participants have of it.

Invariant: a window holds all of the processes and entities that were created in it, and is as wide
as that stays within bounds; entities a little younger are there too, for what belongs to a process
is created after it. The entities were read before the processes. This module must never compare
anything.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from orchestrator.audit.accounts import Entity, EntityKind, Process, process_of
from orchestrator.audit.books import Books
from orchestrator.audit.progress import Counts
from orchestrator.saga_log.protocol import ListQuery, SagaLog

# Of a window that is full: processes, and entities of one kind. Histories are large.
PROCESSES_MAX: Final = 200
ENTITIES_MAX: Final = 1_000
# How much longer than its window an entity is looked for in a list; a later one is got by itself.
SLACK_US: Final = 2_000_000
# Where the oldest of all is looked for, it need not be found more exactly than this.
_OLDEST_WITHIN_US: Final = 1_000_000

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What was created from then on and before then."""

    from_us: int
    before_us: int
    processes: Sequence[Process]
    entities: Sequence[Entity]
    """Those of the window and of the slack behind it."""
    damaged: Sequence[EntityKind] = ()
    """What its participant cannot list of that window, which is then as narrow as can be."""
    next_width_us: int
    """How wide the next one should be."""

    def created_in(self, entity: Entity) -> bool:
        """Whether it is this window's, not the slack's."""
        return self.from_us <= entity.create_time_us < self.before_us

    def counts(self) -> Counts:
        """How much was created in it."""
        kinds = [it.kind.value for it in self.entities if self.created_in(it)]
        return Counts(
            processes=len(self.processes),
            orders=kinds.count("order"),
            payments=kinds.count("payment"),
            deliveries=kinds.count("delivery"),
        )


async def read_window(
    log: SagaLog, books: Books, *, from_us: int, until_us: int, width_us: int
) -> Window:
    """The window that begins then: of that width, or narrower where there is too much in it."""
    assert from_us < until_us, "there is something left"
    narrowed = False
    while True:
        before_us = min(from_us + width_us, until_us)
        width_us = before_us - from_us
        # What was created within one microsecond cannot be parted: it is read however much it is,
        # and whatever of it cannot be.
        whole = width_us == 1
        slack_us = 0 if whole else min(SLACK_US, width_us)
        listed = await together(
            [
                book.list(
                    from_us=from_us,
                    before_us=before_us + slack_us,
                    limit=None if whole else ENTITIES_MAX,
                )
                for book in books.all()
            ]
        )
        if not whole and any(it.more or it.damaged for it in listed):
            width_us //= 2
            narrowed = True
            continue
        processes = await _processes(log, from_us, before_us, None if whole else PROCESSES_MAX)
        if processes is None:
            width_us //= 2
            narrowed = True
            continue
        entities = [entity for it in listed for entity in it.entities]
        # What was too wide just now would be so again.
        sparse = (
            not narrowed
            and len(processes) <= PROCESSES_MAX // 2
            and max(len(it.entities) for it in listed) <= ENTITIES_MAX // 2
        )
        return Window(
            from_us=from_us,
            before_us=before_us,
            processes=processes,
            entities=entities,
            damaged=[book.kind for book, it in zip(books.all(), listed, strict=True) if it.damaged],
            next_width_us=2 * width_us if sparse else width_us,
        )


async def oldest_us(log: SagaLog, books: Books, *, from_us: int, before_us: int) -> int:
    """When the first of all in that range was created, or shortly before; its end if none was.

    Lists begin with the newest, so it is enclosed from both sides: some thirty small questions.
    """
    if not await _any(log, books, from_us, before_us):
        return before_us
    # There is something before `high_us`, and nothing before `low_us`.
    low_us, high_us = from_us, before_us
    while high_us - low_us > _OLDEST_WITHIN_US:
        middle_us = (low_us + high_us) // 2
        if await _any(log, books, low_us, middle_us):
            high_us = middle_us
        else:
            low_us = middle_us
    return low_us


async def together(awaitables: Sequence[Awaitable[_T]]) -> list[_T]:
    """The results of all; raises the first failure once all have ended, so that nothing is left."""
    results: list[_T] = []
    for result in await asyncio.gather(*awaitables, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results


async def _any(log: SagaLog, books: Books, from_us: int, before_us: int) -> bool:
    listed = await together(
        [book.list(from_us=from_us, before_us=before_us, limit=1) for book in books.all()]
    )
    if any(it.entities or it.damaged for it in listed):
        return True
    query = ListQuery(limit=1, create_time_after_us=from_us, create_time_before_us=before_us)
    return bool(await log.list(query))


async def _processes(
    log: SagaLog, from_us: int, before_us: int, limit: int | None
) -> list[Process] | None:
    """The processes created then. None: they are more than the limit."""
    found: list[Process] = []
    query = ListQuery(
        limit=PROCESSES_MAX + 1, create_time_after_us=from_us, create_time_before_us=before_us
    )
    while True:
        page = await log.list(query)
        found.extend(process_of(it) for it in page)
        if limit is not None and len(found) > limit:
            return None
        if len(page) < query.limit:
            return found
        last = page[-1].row
        query = replace(query, before=(last.create_time_us, last.process_id))
