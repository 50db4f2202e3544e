"""The audit itself: window after window, and what does not fit read again.

Invariant: nothing is reported that was not true at one moment; why that is so is told in the
docstring of `orchestrator.audit`. What is in memory is one window, however much there is to audit.
This module must never write, neither to the log nor at a participant.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from chassis import faults
from chassis.clock import Clock
from chassis.validation import INT64_MAX
from orchestrator.audit.accounts import (
    Case,
    Entity,
    EntityKind,
    Process,
    id_of,
    process_of,
    process_of_retired,
)
from orchestrator.audit.books import Book, Books
from orchestrator.audit.comparison import compare, orphaned, unlisted
from orchestrator.audit.finding import Finding, Kind
from orchestrator.audit.progress import Progress
from orchestrator.audit.window import Window, oldest_us, read_window, together
from orchestrator.saga.retry import microseconds
from orchestrator.saga.state import Phase
from orchestrator.saga_log.retirement import RetiringLog

# How many processes, or entities without one, are read again at once.
AT_ONCE: Final = 16
# How often a process whose entities move is read again before it is left to the next audit.
READINGS_MAX: Final = 5
# Of how many windows it is remembered which processes were in them: what was created just behind
# a window is of one of these, and so nobody's orphan.
_WINDOWS_REMEMBERED: Final = 8

# How many damaged rows an audit works its way around: each takes a hundred small lists.
DAMAGED_MAX: Final = 100

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One window's findings, oldest first, and how far the audit is behind it."""

    findings: Sequence[Finding] = ()
    progress: Progress
    last: bool = False


class Audit:
    """Compares the log with the participants' books."""

    def __init__(
        self, *, log: RetiringLog, books: Books, clock: Clock, attempt_timeout_seconds: float
    ) -> None:
        """`attempt_timeout_seconds`: how long a call may last, and so a process stand still."""
        self._log = log
        self._books: Mapping[EntityKind, Book] = {book.kind: book for book in books.all()}
        self._all_books = books
        self._clock = clock
        self._attempt_us = microseconds(attempt_timeout_seconds)

    async def pages(self, progress: Progress) -> AsyncGenerator[Page, None]:
        """Goes on from there to the end; the last page has no findings.

        The first page comes before anything was asked, so that whatever fails can be resumed.

        Raises:
            faults.Unavailable: PARTICIPANT_UNAVAILABLE or LOG_UNAVAILABLE.
        """
        yield Page(progress=progress)
        if not progress.finished:
            first_us = await oldest_us(
                self._log,
                self._all_books,
                from_us=progress.position_us,
                before_us=progress.until_us,
            )
            progress = replace(progress, position_us=first_us)
        damage = _Damage()
        remembered: deque[frozenset[str]] = deque(maxlen=_WINDOWS_REMEMBERED)
        while not progress.finished:
            window = await read_window(
                self._log,
                self._all_books,
                from_us=progress.position_us,
                until_us=progress.until_us,
                width_us=progress.width_us,
            )
            remembered.append(frozenset(it.process_id for it in window.processes))
            overdue_us = microseconds(progress.range.overdue_seconds) + self._attempt_us
            findings = [
                *await self._of_processes(window, overdue_us),
                *await self._of_nobody(window, remembered, overdue_us),
            ]
            findings += damage.unexplained(window, findings)
            findings.sort(key=lambda it: (it.since_us, it.process_id, it.kind))
            progress = progress.on(
                window.before_us, window.next_width_us, window.counts(), findings
            )
            yield Page(findings=findings, progress=progress)
        yield Page(progress=progress, last=True)

    async def _of_processes(self, window: Window, overdue_us: int) -> list[Finding]:
        """What is wrong with the window's processes, each of them suspected and read again."""
        belongings: dict[str, dict[EntityKind, Entity]] = {}
        for entity in window.entities:
            belongings.setdefault(entity.process_id, {})[entity.kind] = entity
        cases = [
            Case(process=it, entities=belongings.get(it.process_id, {})) for it in window.processes
        ]
        cases = await _each(self._completed, cases)
        # Nothing falls overdue while it is looked at: by the time of now, too much is suspected.
        now_us = self._clock.now_us()
        suspects = [it for it in cases if compare(it, now_us=now_us, overdue_us=overdue_us)]

        async def read_again(suspect: Case) -> tuple[Finding, ...]:
            return await self._of_process(suspect.process.process_id, overdue_us)

        return [finding for found in await _each(read_again, suspects) for finding in found]

    async def _of_nobody(
        self, window: Window, known: Iterable[frozenset[str]], overdue_us: int
    ) -> list[Finding]:
        """What stands in the window and belongs to no process, or to one that is retired."""
        strangers = [
            entity
            for entity in window.entities
            if window.created_in(entity)
            and not any(entity.process_id in of_window for of_window in known)
        ]
        retired = await self._log.retirement.find(
            sorted({it.process_id for it in strangers if it.process_id})
        )

        async def look(entity: Entity) -> tuple[Finding, ...]:
            if (process := retired.get(entity.process_id)) is not None:
                case = Case(process=process_of_retired(process), entities={entity.kind: entity})
                if not compare(case, now_us=process.end_time_us, overdue_us=overdue_us):
                    return ()
                return await self._of_process(entity.process_id, overdue_us, (entity.kind,))
            return await self._of_stranger(entity, overdue_us) if entity.live else ()

        return [finding for found in await _each(look, strangers) for finding in found]

    async def _completed(self, case: Case) -> Case:
        """With those entities that were created too late, or too early, to be in the lists.

        Of a process that is RUNNING nothing follows from what is not there.
        """
        process = case.process
        missing = [kind for kind in EntityKind if kind not in case.entities]
        if process.phase is Phase.RUNNING or not missing:
            return case
        got = await self._belongings(process.process_id, missing)
        return replace(case, entities={**case.entities, **got})

    async def _of_process(
        self, process_id: str, overdue_us: int, kinds: Iterable[EntityKind] = EntityKind
    ) -> tuple[Finding, ...]:
        """What is wrong with a process, as far as these kinds go.

        Nothing, too, where its entities do not keep still, or where it is forgotten by now.
        """
        before = await self._belongings(process_id, kinds)
        for _ in range(READINGS_MAX):
            now_us = self._clock.now_us()
            process = await self._process(process_id)
            if process is None:
                return ()
            after = await self._belongings(process_id, kinds)
            if before == after:
                case = Case(process=process, entities=after)
                return compare(case, now_us=now_us, overdue_us=overdue_us)
            before = after
        return ()

    async def _of_stranger(self, entity: Entity, overdue_us: int) -> tuple[Finding, ...]:
        """What is wrong with an entity that was seen, if there is no process to it."""
        process_id = entity.process_id
        if process_id:
            if await self._log.load(process_id, after=INT64_MAX) is not None:
                return ()
            if await self._log.retirement.find([process_id]):
                # It was retired since the window was read.
                return await self._of_process(process_id, overdue_us, (entity.kind,))
        now = await self._books[entity.kind].get(entity.entity_id)
        orphan = None if now is None else orphaned(now)
        return () if orphan is None else (orphan,)

    async def _process(self, process_id: str) -> Process | None:
        """A process, in the log or retired. It leaves the log to be retired: so the log is first.

        None: it is forgotten, or never was.
        """
        if (stored := await self._log.load(process_id)) is not None:
            return process_of(stored)
        retired = (await self._log.retirement.find([process_id])).get(process_id)
        return None if retired is None else process_of_retired(retired)

    async def _belongings(
        self, process_id: str, kinds: Iterable[EntityKind]
    ) -> dict[EntityKind, Entity]:
        asked = list(kinds)
        got = await together([self._books[it].get(id_of(it, process_id)) for it in asked])
        return {kind: it for kind, it in zip(asked, got, strict=True) if it is not None}


class _Damage:
    """Damaged rows: each is met by its process, which knows its id, or else by a list alone.

    A process comes before what belongs to it. So of the lists that cannot be read, as many as
    there were such processes before are explained by these.
    """

    def __init__(self) -> None:
        self._explained: Counter[EntityKind] = Counter()
        self._met = 0

    def unexplained(self, window: Window, found: Iterable[Finding]) -> list[Finding]:
        """What is damaged in the window beyond what was found already.

        Raises:
            faults.Unavailable: PARTICIPANT_UNAVAILABLE: it can read hardly anything.
        """
        for finding in found:
            if finding.kind is Kind.ENTITY_UNREADABLE and finding.entity is not None:
                self._explained[finding.entity] += 1
        findings: list[Finding] = []
        for kind in window.damaged:
            self._met += 1
            if self._met > DAMAGED_MAX:
                raise faults.Unavailable(
                    "PARTICIPANT_UNAVAILABLE",
                    f"the {kind} service cannot read much of what it keeps; see to that first",
                    metadata={"participant": kind.value},
                )
            if self._explained[kind]:
                self._explained[kind] -= 1
            else:
                findings.append(unlisted(kind, window.from_us))
        return findings


async def _each(change: Callable[[_T], Awaitable[_R]], of: Sequence[_T]) -> list[_R]:
    """The results for all, in their order, a bounded number at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(it: _T) -> _R:
        async with room:
            return await change(it)

    return await together([one(it) for it in of])
