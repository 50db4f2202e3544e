"""Honest lives of one process, moment by moment, for an audit to look at between any two of them.

Each read of the audit may find the world some moments further. A moment is one commit: of the log,
or of a participant.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from orchestrator.audit.accounts import Entity, EntityKind, id_of
from orchestrator.audit.books import Books, Listed
from orchestrator.placed_order import Money
from orchestrator.saga.code import Code
from orchestrator.saga.events import (
    AttemptBegan,
    AttemptEnded,
    Cancelled,
    CancelRequested,
    CompensationBegan,
    Completed,
    Event,
    Started,
)
from orchestrator.saga.evolve import replay
from orchestrator.saga_log.protocol import ListQuery, ProcessRow, StoredProcess
from orchestrator.saga_log.retirement import RetiredProcess, RetiringLog

PROCESS_ID = "prc_01m83k1g0ceks9qzxz157vwd63"
BEGAN_US = 1_700_000_000_000_000
TOTAL = Money(currency_code="USD", minor_units=2_500)

ORDER, PAYMENT, DELIVERY = EntityKind
Effect = tuple[EntityKind, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The log and the participants, at once."""

    events: tuple[Event, ...]
    entities: Mapping[EntityKind, Entity]
    retired: RetiredProcess | None = None


class Life:
    """Moments, one after the other, from before the process began."""

    def __init__(self) -> None:
        self.moments = [Moment(events=(), entities={})]

    def _log(self, *events: Event) -> None:
        last = self.moments[-1]
        self.moments.append(replace(last, events=(*last.events, *events)))

    def effect(self, kind: EntityKind, state: str) -> None:
        last = self.moments[-1]
        entity = Entity(
            kind=kind,
            entity_id=id_of(kind, PROCESS_ID),
            state=state,
            amount=None if kind is DELIVERY else TOTAL,
            create_time_us=BEGAN_US + 1,
            update_time_us=BEGAN_US + len(self.moments),
        )
        self.moments.append(replace(last, entities={**last.entities, kind: entity}))

    def begin(self) -> None:
        self._log(
            Started(
                definition="order_process",
                version=1,
                input={"total": TOTAL.content()},
                deadline_us=BEGAN_US + 60_000_000,
                time_us=BEGAN_US,
            )
        )

    def step(self, action: str, effect: Effect, *, code: Code = Code.OK) -> None:
        """Intent, effect, outcome."""
        self._log(AttemptBegan(action=action, attempt=1, time_us=BEGAN_US))
        if effect is not None:
            self.effect(*effect)
        self._log(AttemptEnded(action=action, attempt=1, code=code, time_us=BEGAN_US))

    def forward(self) -> None:
        self.begin()
        self.step("create_order", (ORDER, "PENDING"))
        self.step("process_payment", (PAYMENT, "HELD"))
        self.step("confirm_payment", (PAYMENT, "CONFIRMED"))
        self.step("confirm_order", (ORDER, "CONFIRMED"))

    def back(self) -> None:
        self.step("cancel_payment", (PAYMENT, "CANCELLED"))
        self.step("cancel_order", (ORDER, "CANCELLED"))
        self._log(Cancelled(time_us=BEGAN_US))

    def fail(self, step: str) -> None:
        self._log(
            CompensationBegan(step=step, code_name="", reason="", message="", time_us=BEGAN_US)
        )

    def complete(self) -> None:
        self.step("process_delivery", (DELIVERY, "ASSIGNED"))
        self._log(Completed(time_us=BEGAN_US))

    def cancel(self) -> None:
        self._log(CancelRequested(reason="", requested_by="", time_us=BEGAN_US))

    def retire(self) -> None:
        """The log deletes the history, and keeps how it ended."""
        last = self.moments[-1]
        row = row_of(last.events)
        assert row.end_time_us is not None
        retired = RetiredProcess(
            process_id=row.process_id,
            business_key=row.business_key,
            fingerprint=row.fingerprint,
            subject=row.subject,
            phase=row.phase,
            revision=row.revision,
            epoch=row.epoch,
            by_hand=frozenset(),
            create_time_us=row.create_time_us,
            end_time_us=row.end_time_us,
            retire_time_us=BEGAN_US,
            purge_due_us=BEGAN_US,
        )
        self.moments.append(Moment(events=(), entities=last.entities, retired=retired))

    def purge(self, *kinds: EntityKind) -> None:
        """One participant after the other deletes what it has."""
        for kind in kinds:
            last = self.moments[-1]
            left = {it: entity for it, entity in last.entities.items() if it is not kind}
            self.moments.append(replace(last, entities=left))

    def forget(self) -> None:
        self.moments.append(replace(self.moments[-1], retired=None))

    def retain(self, *kinds: EntityKind) -> None:
        """As retention does it."""
        self.retire()
        self.purge(*kinds)
        self.forget()


def row_of(events: Sequence[Event]) -> ProcessRow:
    state = replay(events)
    return ProcessRow(
        process_id=PROCESS_ID,
        business_key="r",
        fingerprint="f",
        subject="c",
        phase=state.phase,
        revision=state.revision,
        epoch=1,
        owner=None,
        due_time_us=None if state.phase.at_rest else BEGAN_US,
        create_time_us=BEGAN_US,
        update_time_us=state.update_time_us,
        end_time_us=state.end_time_us,
    )


def delivered() -> Life:
    life = Life()
    life.forward()
    life.complete()
    return life


def delivered_long_ago() -> Life:
    life = delivered()
    life.retain(ORDER, PAYMENT, DELIVERY)
    return life


def delivered_long_ago_and_purged_the_other_way_round() -> Life:
    life = delivered()
    life.retain(DELIVERY, PAYMENT, ORDER)
    return life


def undeliverable_long_ago() -> Life:
    life = undeliverable()
    life.retain(PAYMENT, ORDER, DELIVERY)
    return life


def returned_long_ago() -> Life:
    life = returned()
    life.retain(PAYMENT, DELIVERY, ORDER)
    return life


def returned() -> Life:
    life = delivered()
    life.cancel()
    life.step("cancel_delivery", (DELIVERY, "CANCELLED"))
    life.back()
    return life


def undeliverable() -> Life:
    life = Life()
    life.forward()
    life.step("process_delivery", (DELIVERY, "REJECTED"), code=Code.FAILED_PRECONDITION)
    life.fail("process_delivery")
    life.back()
    return life


def declined() -> Life:
    life = Life()
    life.begin()
    life.step("create_order", (ORDER, "PENDING"))
    life.step("process_payment", (PAYMENT, "DECLINED"), code=Code.FAILED_PRECONDITION)
    life.fail("process_payment")
    life.step("cancel_order", (ORDER, "CANCELLED"))
    life._log(Cancelled(time_us=BEGAN_US))
    return life


class World:
    """A life that goes on while it is read: before each read, by as much as is drawn."""

    def __init__(self, life: Life, draw: Callable[[], int]) -> None:
        self._moments = life.moments
        self._draw = draw
        self._place = 0

    def read(self) -> Moment:
        self._place = min(self._place + self._draw(), len(self._moments) - 1)
        return self._moments[self._place]

    @property
    def log(self) -> RetiringLog:
        return cast("RetiringLog", _Log(self))

    @property
    def books(self) -> Books:
        order, payment, delivery = (_Book(self, kind) for kind in EntityKind)
        return Books(orders=order, payments=payment, deliveries=delivery)


class _Log:
    """What an audit reads of a log."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def load(self, process_id: str, *, after: int = 0) -> StoredProcess | None:
        assert process_id == PROCESS_ID
        del after
        return self._stored()

    async def list(self, query: ListQuery) -> Sequence[StoredProcess]:
        stored = self._stored()
        after, before = query.create_time_after_us, query.create_time_before_us
        inside = (after or 0) <= BEGAN_US < (before or BEGAN_US + 1)
        return (stored,) if stored is not None and inside else ()

    def _stored(self) -> StoredProcess | None:
        events = self._world.read().events
        return StoredProcess(row=row_of(events), events=events) if events else None

    @property
    def retirement(self) -> "_Retirement":
        return _Retirement(self._world)


class _Retirement:
    """What an audit reads of the retired."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def find(self, process_ids: Sequence[str]) -> Mapping[str, RetiredProcess]:
        retired = self._world.read().retired
        return {PROCESS_ID: retired} if retired is not None and PROCESS_ID in process_ids else {}


class _Book:
    """What an audit reads of a participant."""

    def __init__(self, world: World, kind: EntityKind) -> None:
        self._world = world
        self.kind = kind

    async def list(self, *, from_us: int, before_us: int, limit: int | None) -> Listed:
        del limit
        entity = self._world.read().entities.get(self.kind)
        inside = entity is not None and from_us <= entity.create_time_us < before_us
        return Listed(entities=[entity] if entity is not None and inside else [])

    async def get(self, entity_id: str) -> Entity | None:
        assert entity_id == id_of(self.kind, PROCESS_ID)
        return self._world.read().entities.get(self.kind)
