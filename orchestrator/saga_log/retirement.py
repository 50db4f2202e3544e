"""What a saga log keeps of processes that were settled long ago.

A process that is settled, and that nobody may take up again, is *retired*: its history goes, and
one row stays, which says who it was and how it ended. What others keep for it is purged after that,
for then nobody can ask them for anything on its behalf any more; where that is not done yet, the
row says when it is to be tried. Once it is done the row waits for its own time, and is forgotten.

Invariant: a process is in the log, or retired, or (forgotten) neither: never both, and between the
two never nowhere, so whoever does not find it in the log and then looks here finds it. Its business
key stays its own until it is forgotten. Must never: retire a process that is not settled, nor
forget one for which others may still keep something.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from orchestrator.saga.events import ResolvedByHand
from orchestrator.saga.state import Phase
from orchestrator.saga_log.codec import KINDS, decode
from orchestrator.saga_log.protocol import ProcessRow, SagaLog

BY_HAND: Final = KINDS[ResolvedByHand]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetiredProcess:
    """A process without its history, for good."""

    process_id: str
    business_key: str
    fingerprint: str
    subject: str
    phase: Phase
    """How it ended."""
    revision: int
    epoch: int
    by_hand: frozenset[str]
    """The undos that a person had done: nobody knows what the participant makes of them."""
    create_time_us: int
    end_time_us: int
    retire_time_us: int
    purge_due_us: int | None
    """When what others keep for it is to be purged. None: it is."""

    @property
    def row(self) -> ProcessRow:
        """As it stood in the log, settled."""
        return ProcessRow(
            process_id=self.process_id,
            business_key=self.business_key,
            fingerprint=self.fingerprint,
            subject=self.subject,
            phase=self.phase,
            revision=self.revision,
            epoch=self.epoch,
            owner=None,
            due_time_us=None,
            create_time_us=self.create_time_us,
            update_time_us=self.end_time_us,
            end_time_us=self.end_time_us,
        )


class Retirement(Protocol):
    """The retired processes of a log.

    Every method raises `faults.Unavailable` (LOG_UNAVAILABLE) when the log does not answer; what it
    was to write may then be written or not, and may be asked for again.
    """

    async def retire(self, *, ended_before_us: int, now_us: int, limit: int) -> int:
        """Retires processes that were settled before then, the oldest first; says how many.

        One that is taken up again meanwhile stays in the log. What others keep for them is due to
        be purged at once.
        """
        ...

    async def take_due(
        self, *, now_us: int, again_us: int, limit: int
    ) -> tuple[RetiredProcess, ...]:
        """Retired processes whose purge is due; until `again_us` they are left to the caller."""
        ...

    async def purged(self, process_ids: Collection[str]) -> None:
        """Nobody keeps anything for these any more."""
        ...

    async def put_off(self, process_ids: Collection[str], *, due_us: int) -> None:
        """Something is still kept for these: they are due again then."""
        ...

    async def forget(self, *, ended_before_us: int, limit: int) -> int:
        """Forgets retired processes that were settled before then and are purged; how many."""
        ...

    async def find(self, process_ids: Sequence[str]) -> Mapping[str, RetiredProcess]:
        """Those of these processes that are retired, by id."""
        ...


class RetiringLog(SagaLog, Protocol):
    """A saga log that does not keep everything for ever.

    Its `create` and `find` know the business keys of retired processes: these are answered with the
    row as it stood, and are never the one that was offered. Its other methods know nothing of them.
    """

    @property
    def retirement(self) -> Retirement:
        """What became of those that were settled long ago."""
        ...


def by_hand(texts: Iterable[tuple[str, int, str]]) -> frozenset[str]:
    """The undos that a person had done, by the events of a history, as they are stored."""
    decoded = [decode(kind, time_us, body) for kind, time_us, body in texts if kind == BY_HAND]
    return frozenset(it.action for it in decoded if isinstance(it, ResolvedByHand))
