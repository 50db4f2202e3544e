"""What has to hold of orders, payments and deliveries when everything is over.

Invariant: it reads rows, journals and the gateway's ledger as plain words and numbers, and adds
them up itself. Must never: import anything of the product.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from bench.simulator.evidence import Evidence, Violation

Row: TypeAlias = Mapping[str, Any] | None
"""As it is stored. None: there is none."""


def check_orders(evidence: Evidence) -> list[Violation]:
    """Everything that does not hold."""
    records = evidence.records
    found = [
        Violation("nothing is asked before that is stored", it) for it in records["complaints"]
    ]
    found += _after_the_end(records["journal"])
    found += _strangers(evidence)
    found += _couriers(records)
    ledger = _ledger_of(records["ledger"])
    for process_id, row in evidence.rows.items():
        suffix = process_id.partition("_")[2]
        order = records["orders"].get(f"ord_{suffix}")
        payment = records["payments"].get(f"pay_{suffix}")
        delivery = records["deliveries"].get(f"dlv_{suffix}")
        money = ledger.get(f"pay_{suffix}", {})
        found += _money_once(f"pay_{suffix}", records["ledger"])
        if row.phase == "COMPLETED":
            found += _delivered(process_id, order, payment, delivery, money)
        if row.phase == "CANCELLED":
            found += _undone(process_id, order, payment, delivery, money)
    return found


def _delivered(
    process_id: str,
    order: Row,
    payment: Row,
    delivery: Row,
    money: Mapping[str, int],
) -> list[Violation]:
    rule = "COMPLETED is confirmed, paid once and assigned"
    total = None if order is None else order["total"]
    said = []
    if order is None or order["state"] != "CONFIRMED":
        said.append(f"the order is {order and order['state']}")
    if payment is None or payment["state"] != "CONFIRMED":
        said.append(f"the payment is {payment and payment['state']}")
    elif payment["amount"] != total:
        said.append(f"the payment is about {payment['amount']}, the order about {total}")
    if delivery is None or delivery["state"] != "ASSIGNED":
        said.append(f"the delivery is {delivery and delivery['state']}")
    expected = {"HOLD": total, "CAPTURE": total} if total else {}
    if dict(money) != expected:
        said.append(f"the ledger says {dict(money)} where the total is {total}")
    return [Violation(rule, f"{process_id}: {it}") for it in said]


def _undone(
    process_id: str,
    order: Row,
    payment: Row,
    delivery: Row,
    money: Mapping[str, int],
) -> list[Violation]:
    rule = "CANCELLED leaves nothing behind"
    said = []
    if order is not None and order["state"] != "CANCELLED":
        said.append(f"the order is {order['state']}")
    if payment is not None and payment["state"] not in {"CANCELLED", "DECLINED"}:
        said.append(f"the payment is {payment['state']}")
    if delivery is not None and delivery["state"] == "ASSIGNED":
        said.append("the delivery is ASSIGNED")
    if money.get("HOLD", 0) != money.get("RELEASE", 0):
        kind = "captured" if money.get("CAPTURE") else "held"
        said.append(f"{money['HOLD']} are {kind} at the gateway")
    return [Violation(rule, f"{process_id}: {it}") for it in said]


def _after_the_end(journal: Sequence[tuple[str, str]]) -> list[Violation]:
    ended: set[str] = set()
    found = []
    for entity_id, state in journal:
        if entity_id in ended and state != "CANCELLED":
            found.append(
                Violation("no effect after its undo", f"{entity_id} is {state} after CANCELLED")
            )
        if state == "CANCELLED":
            ended.add(entity_id)
    return found


def _strangers(evidence: Evidence) -> list[Violation]:
    """Whatever is there belongs to a process, and each process has at most one of each."""
    suffixes = {process_id.partition("_")[2] for process_id in evidence.rows}
    records = evidence.records
    ids = [*records["orders"], *records["payments"], *records["deliveries"]]
    ids += [entry["payment"] for entry in records["ledger"]]
    return [
        Violation("at most one effect per process", f"{it} is no process's")
        for it in dict.fromkeys(ids)
        if it.partition("_")[2] not in suffixes
    ]


def _couriers(records: Mapping[str, Any]) -> list[Violation]:
    loads = sum(records["couriers"].values())
    assigned = sum(1 for row in records["deliveries"].values() if row["state"] == "ASSIGNED")
    if loads == assigned:
        return []
    said = f"couriers carry {loads} deliveries, {assigned} are assigned"
    return [Violation("a courier has what is assigned", said)]


def _ledger_of(entries: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """What was moved, by payment and kind."""
    moved: dict[str, dict[str, int]] = {}
    for entry in entries:
        if not entry["declined"] and entry["amount"]:
            of_this = moved.setdefault(entry["payment"], {})
            of_this[entry["kind"]] = of_this.get(entry["kind"], 0) + entry["amount"]
    return moved


def _money_once(payment_id: str, entries: Sequence[Mapping[str, Any]]) -> list[Violation]:
    found = []
    released = False
    seen: set[str] = set()
    for entry in entries:
        if entry["payment"] != payment_id or entry["declined"]:
            continue
        kind = entry["kind"]
        if kind in seen:
            found.append(Violation("money moves once", f"{payment_id}: {kind} twice"))
        if released:
            found.append(
                Violation("no effect after its undo", f"{payment_id}: {kind} after the release")
            )
        seen.add(kind)
        released = released or kind == "RELEASE"
    return found
