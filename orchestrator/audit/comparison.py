"""Whether a process and what belongs to it agree: a pure function of what each party says.

Invariant: what is compared was true together, at one moment (see `orchestrator.audit`); then every
finding is wrong for good, but for PROCESS_PARKED, which is not wrong, and PROCESS_OVERDUE, which is
so until somebody moves the process on. What a person has said to have done by hand is never
reported as wrong. Must never: ask anybody, nor look at a clock.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, assert_never

from orchestrator.audit.accounts import (
    UNDOS,
    UNREADABLE,
    Case,
    Entity,
    EntityKind,
    Process,
    id_of,
)
from orchestrator.audit.finding import (
    MISSING,
    OF_CANCELLED,
    ORPHANS,
    STATE_MISMATCH,
    Finding,
    Kind,
    Risk,
    Severity,
)
from orchestrator.placed_order import Money
from orchestrator.saga.state import Phase

NOTHING: Final = "nothing"

# What a COMPLETED process leaves behind.
COMPLETED: Final[Mapping[EntityKind, str]] = MappingProxyType(
    {
        EntityKind.ORDER: "CONFIRMED",
        EntityKind.PAYMENT: "CONFIRMED",
        EntityKind.DELIVERY: "ASSIGNED",
    }
)
# What an entity that was cancelled, or refused, is in.
_OVER: Final[Mapping[EntityKind, str]] = MappingProxyType(
    {
        EntityKind.ORDER: "CANCELLED or nothing",
        EntityKind.PAYMENT: "CANCELLED, DECLINED or nothing",
        EntityKind.DELIVERY: "CANCELLED, REJECTED or nothing",
    }
)
_STANDS: Final[Mapping[EntityKind, str]] = MappingProxyType(
    {
        EntityKind.ORDER: "is still open",
        EntityKind.PAYMENT: "still holds, or took, the money",
        EntityKind.DELIVERY: "still has a courier",
    }
)
_CANCELS: Final[Mapping[EntityKind, str]] = MappingProxyType(
    {
        EntityKind.ORDER: "CancelOrder closes it",
        EntityKind.PAYMENT: "CancelPayment gives the money back",
        EntityKind.DELIVERY: "CancelDelivery frees the courier",
    }
)


def compare(case: Case, *, now_us: int, overdue_us: int) -> tuple[Finding, ...]:
    """What is wrong with a process and what belongs to it; nothing, where they agree.

    Args:
        case: What the log and the participants say. Of a process that is RUNNING, an entity that is
            not there says nothing.
        now_us: The time, from before the process was read.
        overdue_us: How long nothing may be done about a process that is due.
    """
    return tuple(_findings(case, now_us=now_us, overdue_us=overdue_us))


def orphaned(entity: Entity) -> Finding | None:
    """What is wrong with an entity of which the log knows no process; nothing, if it is over."""
    if not entity.live:
        return None
    kind, name = entity.kind, entity.kind.value
    serious = kind is not EntityKind.ORDER
    return Finding(
        kind=ORPHANS[kind],
        severity=Severity.CRITICAL if serious else Severity.WARNING,
        order_id=entity.entity_id if kind is EntityKind.ORDER else "",
        payment_id=entity.entity_id if kind is EntityKind.PAYMENT else "",
        delivery_id=entity.entity_id if kind is EntityKind.DELIVERY else "",
        expected=NOTHING,
        found=entity.state,
        amount=entity.amount,
        risk=_risk(entity),
        since_us=entity.create_time_us,
        message=(
            f"No process knows this {name}, which {_STANDS[kind]}: it was made behind the system's "
            f"back, or the saga log was restored from before it. Find out who made it; if nobody "
            f"answers for it, {_CANCELS[kind]}."
        ),
    )


def unlisted(kind: EntityKind, time_us: int) -> Finding:
    """What is wrong where a participant cannot list what was created at that time."""
    return Finding(
        kind=Kind.ENTITY_UNREADABLE,
        severity=Severity.WARNING if kind is EntityKind.ORDER else Severity.CRITICAL,
        expected=f"what the {kind} service was asked to keep",
        found=UNREADABLE,
        since_us=time_us,
        message=(
            f"The {kind} service cannot list what was created at this very time, and no process is "
            f"known to be its own: a row of its database is damaged. Its log says which; put it "
            f"right, and audit that time again."
        ),
    )


def _findings(case: Case, *, now_us: int, overdue_us: int) -> Iterator[Finding]:
    process = case.process
    if process.unreadable:
        yield _unreadable(case)
        return
    yield from _damaged(case)
    readable = {kind: it for kind, it in case.entities.items() if it.state != UNREADABLE}
    unread = frozenset(case.entities.keys() - readable.keys())
    case = Case(process=process, entities=readable)
    match process.phase:
        case Phase.COMPLETED:
            yield from _of_completed(case, unread)
        case Phase.CANCELLED:
            yield from _left_over(case, frozenset(EntityKind))
        case Phase.PARKED:
            yield _parked(case)
            yield from _left_over(case, process.cancelled)
        case Phase.COMPENSATING:
            yield from _left_over(case, process.cancelled)
            yield from _overdue(process, now_us=now_us, overdue_us=overdue_us)
        case Phase.RUNNING:
            yield from _overdue(process, now_us=now_us, overdue_us=overdue_us)
        case _:
            assert_never(process.phase)
    yield from _amounts(case)


def _damaged(case: Case) -> Iterator[Finding]:
    """What is there and cannot be read."""
    process = case.process
    for kind, entity in case.entities.items():
        if entity.state != UNREADABLE or kind in process.by_hand:
            continue
        yield _about(
            process,
            kind=Kind.ENTITY_UNREADABLE,
            entity=kind,
            severity=Severity.WARNING if kind is EntityKind.ORDER else Severity.CRITICAL,
            expected=COMPLETED[kind] if process.phase is Phase.COMPLETED else _OVER[kind],
            found=UNREADABLE,
            amount=process.total if kind is EntityKind.PAYMENT else None,
            since_us=process.update_time_us,
            message=(
                f"The {kind} service cannot read the {kind} of this {process.phase} process: its "
                f"row was changed into something that it never writes. Its log says what; put the "
                f"row right by hand, and audit again."
            ),
        )


def _of_completed(case: Case, unread: frozenset[EntityKind]) -> Iterator[Finding]:
    process = case.process
    assert process.end_time_us is not None, "what is completed has an end"
    for kind, expected in COMPLETED.items():
        entity = case.entities.get(kind)
        if kind in unread or (entity is None and process.retired):
            continue
        if entity is None:
            yield _about(
                process,
                kind=MISSING[kind],
                severity=Severity.CRITICAL,
                expected=expected,
                found=NOTHING,
                amount=process.total if kind is EntityKind.PAYMENT else None,
                since_us=process.end_time_us,
                message=(
                    f"The process is COMPLETED, but the {kind} service has no such {kind}: it was "
                    f"deleted, or its database was restored from before it. Put it right there, or "
                    f"return the order with CancelOrderProcess."
                ),
            )
        elif entity.state != expected:
            yield _about(
                process,
                kind=STATE_MISMATCH[kind],
                severity=(Severity.WARNING if kind is EntityKind.ORDER else Severity.CRITICAL),
                expected=expected,
                found=entity.state,
                amount=process.total if kind is EntityKind.PAYMENT else None,
                since_us=entity.update_time_us,
                message=_retired_message(entity, expected)
                if process.retired
                else (
                    f"The process is COMPLETED, so its {kind} should be {expected}, but it is "
                    f"{entity.state}: somebody changed it behind the process's back. If that was "
                    f"meant as a return, cancel the whole process with CancelOrderProcess; if not, "
                    f"put the {kind} right."
                ),
            )
    order = case.entities.get(EntityKind.ORDER)
    delivery = case.entities.get(EntityKind.DELIVERY)
    if order is not None and not order.live and delivery is not None and delivery.live:
        yield _about(
            process,
            kind=Kind.DELIVERY_OF_CANCELLED,
            severity=Severity.CRITICAL,
            expected=_OVER[EntityKind.DELIVERY],
            found=delivery.state,
            since_us=order.update_time_us,
            message=(
                "The order is CANCELLED, but a courier still has its delivery. Cancel the whole "
                "process with CancelOrderProcess: it frees the courier and gives the money back."
            ),
        )


def _retired_message(entity: Entity, expected: str) -> str:
    return (
        f"The process was COMPLETED so long ago that its history is gone, so its {entity.kind} "
        f"should be {expected} or deleted, but it is {entity.state}: it was changed behind the "
        f"process's back, or made by a call that arrived after it was deleted. Put it right; "
        f"{_CANCELS[entity.kind]}."
    )


def _left_over(case: Case, cancelled: frozenset[EntityKind]) -> Iterator[Finding]:
    """What stands though it was cancelled."""
    process = case.process
    for kind in EntityKind:
        entity = case.entities.get(kind)
        if kind not in cancelled or kind in process.by_hand or entity is None or not entity.live:
            continue
        undone = "is CANCELLED" if process.phase is Phase.CANCELLED else f"did {UNDOS[kind]}"
        yield _about(
            process,
            kind=OF_CANCELLED[kind],
            severity=Severity.WARNING if kind is EntityKind.ORDER else Severity.CRITICAL,
            expected=_OVER[kind],
            found=entity.state,
            amount=entity.amount if kind is EntityKind.PAYMENT else None,
            risk=_risk(entity),
            since_us=entity.update_time_us,
            message=(
                f"The process {undone}, but its {kind} {_STANDS[kind]}: it was changed behind the "
                f"process's back. {_CANCELS[kind]}."
            ),
        )


def _amounts(case: Case) -> Iterator[Finding]:
    """Amounts that differ. Nothing that anybody may call ever changes one."""
    process = case.process
    for kind in (EntityKind.ORDER, EntityKind.PAYMENT):
        entity = case.entities.get(kind)
        if (
            kind in process.by_hand
            or process.total is None
            or entity is None
            or entity.amount is None
            or entity.amount == process.total
        ):
            continue
        what = "total" if kind is EntityKind.ORDER else "amount"
        yield _about(
            process,
            kind=Kind.AMOUNT_MISMATCH,
            severity=Severity.CRITICAL if entity.live else Severity.WARNING,
            expected=_amount_text(process.total),
            found=_amount_text(entity.amount),
            amount=entity.amount,
            since_us=entity.update_time_us,
            message=(
                f"The {what} of the {kind} is not what the process was to cost: it was changed in "
                f"the {kind} service's database. Find out by whom, compare with what the payment "
                f"gateway took, and give back or claim the difference."
            ),
        )


def _overdue(process: Process, *, now_us: int, overdue_us: int) -> Iterator[Finding]:
    moved_us = process.update_time_us
    due_us = max(moved_us if process.due_time_us is None else process.due_time_us, moved_us)
    if process.phase is Phase.RUNNING:
        # Whatever it waits for, at its deadline it turns back.
        due_us = max(min(due_us, process.deadline_us), moved_us)
    if now_us - due_us <= overdue_us:
        return
    yield _about(
        process,
        kind=Kind.PROCESS_OVERDUE,
        severity=Severity.WARNING,
        expected="moved on",
        found=process.phase.value,
        amount=process.total,
        since_us=due_us,
        message=(
            "Something was to be done about this process long ago, and nothing was. Is an "
            "orchestrator running on this log, and does its own log say why it does not get to it?"
        ),
    )


def _parked(case: Case) -> Finding:
    process = case.process
    payment = case.entities.get(EntityKind.PAYMENT)
    seen_to = EntityKind.PAYMENT in process.cancelled | process.by_hand
    held = None if payment is None or seen_to or not payment.live else payment
    money = "" if held is None else f" Its payment is {held.state}: that money is at risk."
    on = f" on {process.parked_on}" if process.parked_on else ""
    why = f" ({process.parked_reason})" if process.parked_reason else ""
    return _about(
        process,
        kind=Kind.PROCESS_PARKED,
        severity=Severity.INFORMATION,
        expected="settled",
        found=Phase.PARKED.value,
        amount=None if held is None else held.amount,
        risk=None if held is None else _risk(held),
        since_us=process.parked_time_us or process.update_time_us,
        message=(
            f"The process is PARKED{on}{why}.{money} Mend the cause and have it tried afresh with "
            f"`oms admin retry ID` (RetryOrderProcess), or undo it by hand and say so with "
            f"`oms admin resolve ID` (ResolveOrderProcess)."
        ),
    )


def _unreadable(case: Case) -> Finding:
    process = case.process
    payment = case.entities.get(EntityKind.PAYMENT)
    accounted = process.phase is Phase.COMPLETED
    held = None if payment is None or accounted or not payment.live else payment
    return _about(
        process,
        kind=Kind.PROCESS_UNREADABLE,
        severity=Severity.WARNING if held is None else Severity.CRITICAL,
        expected="a history",
        found=process.unreadable,
        amount=None if held is None else held.amount,
        risk=None if held is None else _risk(held),
        since_us=process.update_time_us,
        message=(
            f"The history of this {process.phase} process cannot be read, so nothing can be "
            f"compared with it. A newer release may have written it: audit with that one. "
            f"Otherwise restore the saga log from a backup."
        ),
    )


def _about(
    process: Process,
    *,
    kind: Kind,
    severity: Severity,
    expected: str,
    found: str,
    since_us: int,
    message: str,
    amount: Money | None = None,
    risk: Risk | None = None,
    entity: EntityKind | None = None,
) -> Finding:
    return Finding(
        kind=kind,
        severity=severity,
        process_id=process.process_id,
        entity=entity,
        order_id=id_of(EntityKind.ORDER, process.process_id),
        payment_id=id_of(EntityKind.PAYMENT, process.process_id),
        delivery_id=id_of(EntityKind.DELIVERY, process.process_id),
        expected=expected,
        found=found,
        amount=amount,
        risk=risk,
        since_us=since_us,
        message=message,
    )


def _risk(entity: Entity) -> Risk | None:
    """What has become of its money. A payment that is PENDING may be holding it already."""
    if entity.kind is not EntityKind.PAYMENT or entity.amount is None:
        return None
    return Risk.CAPTURED if entity.state == "CONFIRMED" else Risk.HELD


def _amount_text(amount: Money) -> str:
    return f"{amount.minor_units} {amount.currency_code} (minor units)"
