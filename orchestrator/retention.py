"""What takes leave of processes that were settled long ago: a loop that never ends.

Invariant: the log leads. A process is retired first, so that nobody can take it up again; then what
the participants keep for it is purged; and only when all of them have said so is it forgotten. Each
of these is an act of its own, and what a crash leaves undone between two of them falls due again.
No process, no participant and no outage of the log ends the loop. Must never: purge anything for a
process that the log still has, nor hold anything of the log while a participant is asked.

It goes in batches with pauses between them, so that it never stands in the way of orders. Several
replicas may do so at once: each takes others.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from chassis import faults
from chassis.clock import Clock
from orchestrator.saga.retry import microseconds
from orchestrator.saga_log.retirement import RetiredProcess, Retirement

BATCH_MAX: Final = 100
PAUSE_SECONDS: Final = 0.1
"""Between two batches, while there is more to do."""
LOOK_SECONDS: Final = 60.0
AGAIN_SECONDS: Final = 60.0
"""For how long what is being purged is left to whoever does so. Longer than it may take."""
KEPT_SECONDS: Final = 3_600.0
"""How long a process is left alone for which a participant keeps something."""
TOLD_MAX: Final = 10

_log = structlog.get_logger(__name__)


class Purger(Protocol):
    """One participant, asked to delete what it keeps for processes."""

    @property
    def participant(self) -> str:
        """What it is called."""
        ...

    async def purge(self, process_ids: Sequence[str]) -> Collection[str]:
        """Those of these processes for which something is kept nevertheless. May be repeated.

        Raises:
            faults.Unavailable: The participant does not answer; some may be deleted.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """For how long things are kept, counted from the moment a process was settled."""

    settled_seconds: float
    """A process with its history, and what the participants keep for it."""
    request_id_seconds: float
    """Its request id and how it ended. 0: for ever."""

    def at_most(self, seconds: float) -> float:
        """No pause is longer than a process is kept, where that is short."""
        return min(seconds, max(self.settled_seconds, PAUSE_SECONDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """What one batch came to."""

    retired: int
    due: int
    purged: int
    kept: int
    forgotten: int

    @property
    def full(self) -> bool:
        """Whether there may be more to do."""
        return max(self.retired, self.due, self.forgotten) >= BATCH_MAX

    @property
    def empty(self) -> bool:
        """Whether nothing was done."""
        return not (self.retired or self.purged or self.kept or self.forgotten)


class Retention:
    """Retires, purges and forgets."""

    def __init__(
        self, *, retirement: Retirement, purgers: Sequence[Purger], terms: Terms, clock: Clock
    ) -> None:
        self._retirement = retirement
        self._purgers = tuple(purgers)
        self._terms = terms
        self._clock = clock
        self._out_of_order: set[str] = set()

    async def run(self) -> None:
        """Goes on until it is cancelled: wherever that finds it, another one goes on from there."""
        while True:
            await self._clock.sleep(await self._look())

    async def _look(self) -> float:
        """One batch, whatever comes in its way.

        Returns:
            How long to pause, in seconds.
        """
        try:
            taking = await self.batch()
        except (faults.Unavailable, faults.Overloaded) as fault:
            self._missed("log", fault.reason)
            return self._terms.at_most(LOOK_SECONDS)
        except Exception:  # noqa: BLE001 - whatever it is, the loop goes on
            _log.exception("retention_failed")
            return self._terms.at_most(LOOK_SECONDS)
        self._reached("log")
        if not taking.empty:
            _log.info(
                "retention_batch",
                retired=taking.retired,
                purged=taking.purged,
                kept=taking.kept,
                forgotten=taking.forgotten,
            )
        return PAUSE_SECONDS if taking.full else self._terms.at_most(LOOK_SECONDS)

    async def batch(self) -> Taking:
        """Retires some, purges some, forgets some.

        Raises:
            faults.Unavailable: The log does not answer.
        """
        now_us = self._clock.now_us()
        retired = await self._retirement.retire(
            ended_before_us=now_us - microseconds(self._terms.settled_seconds),
            now_us=now_us,
            limit=BATCH_MAX,
        )
        due = await self._retirement.take_due(
            now_us=now_us,
            again_us=now_us + microseconds(self._terms.at_most(AGAIN_SECONDS)),
            limit=BATCH_MAX,
        )
        purged, kept = await self._purge(due) if due else (0, 0)
        forgotten = 0
        if self._terms.request_id_seconds:
            forgotten = await self._retirement.forget(
                ended_before_us=now_us - microseconds(self._terms.request_id_seconds),
                limit=BATCH_MAX,
            )
        # Whom nobody answered for is due again by itself: there is no hurry then.
        answered = len(due) if purged or kept else 0
        return Taking(retired=retired, due=answered, purged=purged, kept=kept, forgotten=forgotten)

    async def _purge(self, due: Sequence[RetiredProcess]) -> tuple[int, int]:
        """Has all participants purge; how many are done with, and how many were kept by one."""
        ids = [it.process_id for it in due]
        answers = await asyncio.gather(*(self._ask(it, ids) for it in self._purgers))
        kept = {process_id for answer in answers for process_id in answer or ()}
        if kept:
            due_us = self._clock.now_us() + microseconds(self._terms.at_most(KEPT_SECONDS))
            await self._retirement.put_off(sorted(kept), due_us=due_us)
            # What a person had to do by hand is often still there, and known to be.
            unexpected = [it.process_id for it in due if it.process_id in kept and not it.by_hand]
            if unexpected:
                told = unexpected[:TOLD_MAX]
                _log.warning("purge_kept", count=len(unexpected), process_ids=told)
        if any(answer is None for answer in answers):
            return 0, len(kept)
        purged = [it for it in ids if it not in kept]
        await self._retirement.purged(purged)
        return len(purged), len(kept)

    async def _ask(self, purger: Purger, ids: Sequence[str]) -> Collection[str] | None:
        """For whom a participant keeps something. None: it did not say."""
        try:
            kept = await purger.purge(ids)
        except (faults.Unavailable, faults.Overloaded) as fault:
            self._missed(purger.participant, fault.reason)
            return None
        except Exception:  # noqa: BLE001 - whatever it is, the others are asked all the same
            _log.exception("purge_failed", participant=purger.participant)
            return None
        self._reached(purger.participant)
        return kept

    def _missed(self, whom: str, reason: str) -> None:
        if whom not in self._out_of_order:
            _log.error("retention_cannot_reach", whom=whom, reason=reason)
        self._out_of_order.add(whom)

    def _reached(self, whom: str) -> None:
        if whom in self._out_of_order:
            _log.info("retention_reaches_again", whom=whom)
        self._out_of_order.discard(whom)
