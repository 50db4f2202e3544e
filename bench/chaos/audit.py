"""The judgement: what the evidence says against what the callers were told and the design allows.

Invariant: it shares nothing with the product but the words of its contract, and finds nothing where
all is well. Pure. Must never: stop at the first finding.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bench.chaos.account import Account
from bench.chaos.evidence import Delivery, Entry, Evidence, Payment, Placed, Process

COMPLETED: Final = "COMPLETED"
CANCELLED: Final = "CANCELLED"
# What may be left of a process that is CANCELLED; "" is nothing at all.
_ORDERS_LEFT: Final = frozenset({"", "CANCELLED"})
_PAYMENTS_LEFT: Final = frozenset({"", "CANCELLED", "DECLINED"})
_DELIVERIES_LEFT: Final = frozenset({"", "CANCELLED", "REJECTED"})


class Rule(StrEnum):
    """What must hold."""

    ONE_PROCESS = "every acknowledged request is exactly one process"
    SETTLED = "every process is settled"
    EFFECTS = "what is left of a process is what its state says"
    MONEY = "the ledger moved what the process says, once"
    AMOUNT = "everybody means the same amount"
    TOLD = "nobody was told what is later untrue"
    ANSWERED = "every caller is answered, and by nothing that it should not get"
    NO_ORPHANS = "nothing belongs to nobody"
    ANSWERED_ATTEMPTS = "no attempt is lost to a drain"
    STAYS_UP = "a service ends only when it is struck"
    PRODUCT_AUDIT = "the product's own audit finds nothing either"
    LOADS = "the couriers' loads add up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that does not hold, of whom, and what was found instead."""

    rule: Rule
    subject: str
    found: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.found} (violates: {self.rule})"


def judge(evidence: Evidence, accounts: Sequence[Account]) -> list[Finding]:
    """All that is not as it should be, once everything is at rest."""
    parts = _Parts(evidence)
    return [
        *_of_accounts(evidence, accounts),
        *(finding for it in evidence.processes for finding in _of_process(it, parts)),
        *_of_nobody(evidence, accounts),
        *_of_couriers(evidence),
    ]


class _Parts:
    """What belongs to a process, by id."""

    def __init__(self, evidence: Evidence) -> None:
        self.orders: Mapping[str, Placed] = {it.order_id: it for it in evidence.orders}
        self.payments: Mapping[str, Payment] = {it.payment_id: it for it in evidence.payments}
        self.deliveries: Mapping[str, Delivery] = {it.delivery_id: it for it in evidence.deliveries}
        self.ledger: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in evidence.ledger:
            self.ledger[entry.payment_id].append(entry)


def _of_accounts(evidence: Evidence, accounts: Sequence[Account]) -> Iterator[Finding]:
    by_request: defaultdict[str, list[Process]] = defaultdict(list)
    for process in evidence.processes:
        by_request[process.request_id].append(process)
    for account in accounts:
        for complaint in account.complaints:
            yield Finding(rule=Rule.ANSWERED, subject=account.request_id, found=complaint)
        processes = by_request[account.request_id]
        there = {it.process_id for it in processes}
        if len(processes) > 1 or (account.process_ids and there != account.process_ids):
            yield Finding(
                rule=Rule.ONE_PROCESS,
                subject=account.request_id,
                found=f"acknowledged as {sorted(account.process_ids)}, is {sorted(there)}",
            )
        elif processes:
            yield from _of_account(account, processes[0])


def _of_account(account: Account, process: Process) -> Iterator[Finding]:
    """One caller and its one process."""
    untrue = {
        "told COMPLETED, now CANCELLED, and nobody had asked for that": (
            account.completed and process.state == CANCELLED and not account.cancel_asked
        ),
        "its cancel was accepted, and it is COMPLETED": (
            account.cancel_accepted and process.state == COMPLETED
        ),
        "it could not be done, and is COMPLETED": account.hopeless and process.state == COMPLETED,
        f"told revision {account.revision_max}, now at {process.revision}": (
            account.revision_max > process.revision
        ),
        f"of {account.customer_id}, now of {process.customer_id}": (
            account.customer_id != process.customer_id
        ),
    }
    for found, is_so in untrue.items():
        if is_so:
            yield Finding(rule=Rule.TOLD, subject=process.process_id, found=found)
    if account.minor_units != process.minor_units:
        yield Finding(
            rule=Rule.AMOUNT,
            subject=process.process_id,
            found=f"ordered for {account.minor_units}, runs for {process.minor_units}",
        )


def _of_process(process: Process, parts: _Parts) -> Iterator[Finding]:
    order = parts.orders.get(process.order_id)
    payment = parts.payments.get(process.payment_id)
    delivery = parts.deliveries.get(process.delivery_id)
    states = tuple("" if it is None else it.state for it in (order, payment, delivery))
    match process.state:
        case "COMPLETED":
            right = states == ("CONFIRMED", "CONFIRMED", "ASSIGNED")
        case "CANCELLED":
            right = (
                states[0] in _ORDERS_LEFT
                and states[1] in _PAYMENTS_LEFT
                and states[2] in _DELIVERIES_LEFT
            )
        case _:
            yield Finding(rule=Rule.SETTLED, subject=process.process_id, found=process.state)
            return
    if not right:
        found = "{}: order {!r}, payment {!r}, delivery {!r}".format(process.state, *states)
        yield Finding(rule=Rule.EFFECTS, subject=process.process_id, found=found)
    if payment is not None and payment.pending:
        found = f"{process.state}, and its gateway is still being asked"
        yield Finding(rule=Rule.EFFECTS, subject=process.process_id, found=found)
    yield from _of_amounts(process, order, payment, delivery)
    yield from _of_money(process, parts.ledger[process.payment_id])


def _of_amounts(
    process: Process, order: Placed | None, payment: Payment | None, delivery: Delivery | None
) -> Iterator[Finding]:
    """What is there has the process's amount and order; a tombstone has neither."""
    nothing_too = {0} if process.state == CANCELLED else set()
    for name, part in (("order", order), ("payment", payment)):
        if part is not None and part.minor_units not in {process.minor_units} | nothing_too:
            yield Finding(
                rule=Rule.AMOUNT,
                subject=process.process_id,
                found=f"for {process.minor_units}, and its {name} is for {part.minor_units}",
            )
    nobody_too = {""} if process.state == CANCELLED else set()
    for belonging in (payment, delivery):
        if belonging is not None and belonging.order_id not in {process.order_id} | nobody_too:
            yield Finding(
                rule=Rule.EFFECTS,
                subject=process.process_id,
                found=f"a part of it is for the order {belonging.order_id!r}",
            )


def _of_money(process: Process, entries: Sequence[Entry]) -> Iterator[Finding]:
    """The ledger's lines of one payment, without those that were declined or moved nothing."""
    moved = Counter(
        (it.kind, it.release, it.minor_units)
        for it in entries
        if not it.declined
        and it.minor_units != 0
        and (it.kind != "RELEASE" or it.release != "NOTHING")
    )
    total = process.minor_units
    hold = ("HOLD", "NOTHING", total)
    capture = ("CAPTURE", "NOTHING", total)
    allowed: list[list[tuple[str, str, int]]]
    if process.state == COMPLETED:
        allowed = [[hold, capture]] if total else [[]]
    else:
        allowed = [
            [],
            [hold, ("RELEASE", "VOIDED", total)],
            [hold, capture, ("RELEASE", "REFUNDED", total)],
        ]
    if moved not in [Counter(it) for it in allowed]:
        lines = ", ".join(f"{kind} {release} {units}" for kind, release, units in moved.elements())
        yield Finding(
            rule=Rule.MONEY,
            subject=process.process_id,
            found=f"{process.state} for {total}, and the ledger has [{lines}]",
        )


def _of_nobody(evidence: Evidence, accounts: Sequence[Account]) -> Iterator[Finding]:
    asked = {it.request_id for it in accounts}
    owned = {
        id_ for it in evidence.processes for id_ in (it.order_id, it.payment_id, it.delivery_id)
    }
    strays = [it.process_id for it in evidence.processes if it.request_id not in asked]
    there = [
        *(it.order_id for it in evidence.orders),
        *(it.payment_id for it in evidence.payments),
        *(it.delivery_id for it in evidence.deliveries),
        *{it.payment_id: None for it in evidence.ledger},
    ]
    for stray in (*strays, *(it for it in there if it not in owned)):
        yield Finding(rule=Rule.NO_ORPHANS, subject=stray, found="nobody knows it")


def _of_couriers(evidence: Evidence) -> Iterator[Finding]:
    assigned = Counter(it.courier_id for it in evidence.deliveries if it.state == "ASSIGNED")
    for courier_id in sorted({*evidence.loads, *assigned}):
        load = evidence.loads.get(courier_id)
        if load != assigned[courier_id]:
            yield Finding(
                rule=Rule.LOADS,
                subject=courier_id,
                found=f"believes to have {load} deliveries, has {assigned[courier_id]}",
            )
