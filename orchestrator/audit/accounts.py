"""What each party says: a process as the log has it, and an entity as a participant has it.

Invariant: an account is what one party said at one moment, nothing is added to it. This module must
never judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from chassis.ids import sibling, suffix_of
from orchestrator.order_process import (
    PROCESS_PREFIX,
    delivery_id_of,
    order_id_of,
    payment_id_of,
)
from orchestrator.placed_order import Money
from orchestrator.saga.evolve import IllegalMove, replay
from orchestrator.saga.state import ActionStatus, Phase, SagaState
from orchestrator.saga_log.protocol import StoredProcess
from orchestrator.saga_log.retirement import RetiredProcess


class EntityKind(StrEnum):
    """What a participant keeps."""

    ORDER = "order"
    PAYMENT = "payment"
    DELIVERY = "delivery"


# The state of an entity whose participant says that it cannot read it.
UNREADABLE: Final = "UNREADABLE"

UNDOS: Final[Mapping[EntityKind, str]] = MappingProxyType(
    {
        EntityKind.ORDER: "cancel_order",
        EntityKind.PAYMENT: "cancel_payment",
        EntityKind.DELIVERY: "cancel_delivery",
    }
)

# States that leave nothing behind: refusals, and what was cancelled, tombstones included.
_OVER: Final[Mapping[EntityKind, frozenset[str]]] = MappingProxyType(
    {
        EntityKind.ORDER: frozenset({"CANCELLED"}),
        EntityKind.PAYMENT: frozenset({"CANCELLED", "DECLINED"}),
        EntityKind.DELIVERY: frozenset({"CANCELLED", "REJECTED"}),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """An order, a payment or a delivery."""

    kind: EntityKind
    entity_id: str
    state: str
    """As the contract names it, without its prefix: for example "CONFIRMED"; or UNREADABLE."""
    amount: Money | None
    """What it costs. None: a delivery, or a tombstone."""
    create_time_us: int
    update_time_us: int

    @property
    def live(self) -> bool:
        """Whether it stands for something: an open order, money, a courier on the way."""
        return self.state not in _OVER[self.kind]

    @property
    def process_id(self) -> str:
        """The process that it can belong to. Empty: its id is not one that a process gives."""
        process_id = sibling(PROCESS_PREFIX, self.entity_id)
        is_one = suffix_of(self.entity_id) and self.entity_id == id_of(self.kind, process_id)
        return process_id if is_one else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process, as far as its order, payment and delivery follow from it."""

    process_id: str
    phase: Phase
    total: Money | None
    """What the order costs. None: the history does not say."""
    cancelled: frozenset[EntityKind]
    """What its undos have cancelled: the participant said so."""
    by_hand: frozenset[EntityKind]
    """What a person has undone: whatever the participant says of it is known."""
    create_time_us: int
    update_time_us: int
    end_time_us: int | None
    deadline_us: int
    due_time_us: int | None
    parked_on: str
    parked_reason: str
    parked_time_us: int | None
    unreadable: str
    """Why the history cannot be read: then only the row is known. Empty: it can."""
    retired: bool = False
    """Whether it was settled so long ago that what belongs to it is being deleted, or is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A process and what belongs to it. What is not in `entities` is not there."""

    process: Process
    entities: Mapping[EntityKind, Entity] = field(default_factory=dict)


def id_of(kind: EntityKind, process_id: str) -> str:
    """The id of a process's order, payment or delivery."""
    match kind:
        case EntityKind.ORDER:
            return order_id_of(process_id)
        case EntityKind.PAYMENT:
            return payment_id_of(process_id)
        case EntityKind.DELIVERY:
            return delivery_id_of(process_id)


def process_of(stored: StoredProcess) -> Process:
    """The log's account of a process. The whole history must be there."""
    row = stored.row
    state: SagaState | None = None
    unreadable = stored.unreadable
    if not unreadable:
        try:
            state = replay(stored.events)
        except IllegalMove as illegal:
            unreadable = str(illegal)
    parking = None if state is None else state.parking
    return Process(
        process_id=row.process_id,
        phase=row.phase,
        total=None if state is None else _total(state),
        cancelled=_undone(state, ActionStatus.SUCCEEDED),
        by_hand=_undone(state, ActionStatus.RESOLVED_BY_HAND),
        create_time_us=row.create_time_us,
        update_time_us=row.update_time_us,
        end_time_us=row.end_time_us,
        deadline_us=row.update_time_us if state is None else state.deadline_us,
        due_time_us=row.due_time_us,
        parked_on="" if parking is None else parking.action,
        parked_reason="" if parking is None else parking.reason or parking.code_name,
        parked_time_us=None if parking is None else parking.time_us,
        unreadable=unreadable,
    )


def process_of_retired(retired: RetiredProcess) -> Process:
    """The log's account of a process whose history is gone: how it ended, and by whose hand."""
    return Process(
        process_id=retired.process_id,
        phase=retired.phase,
        total=None,
        cancelled=frozenset(),
        by_hand=frozenset(kind for kind, undo in UNDOS.items() if undo in retired.by_hand),
        create_time_us=retired.create_time_us,
        update_time_us=retired.end_time_us,
        end_time_us=retired.end_time_us,
        deadline_us=retired.end_time_us,
        due_time_us=None,
        parked_on="",
        parked_reason="",
        parked_time_us=None,
        unreadable="",
        retired=True,
    )


def _undone(state: SagaState | None, status: ActionStatus) -> frozenset[EntityKind]:
    if state is None:
        return frozenset()
    undone = {action.name for action in state.actions if action.undo and action.status is status}
    return frozenset(kind for kind, undo in UNDOS.items() if undo in undone)


def _total(state: SagaState) -> Money | None:
    """As the order service added it up, or until then as it was placed."""
    created = state.results.get("create_order") or state.input
    match created:
        case {"total": {"currency_code": str(currency_code), "minor_units": int(minor_units)}}:
            return Money(currency_code=currency_code, minor_units=minor_units)
        case _:
            return None
