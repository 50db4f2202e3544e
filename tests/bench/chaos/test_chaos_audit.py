"""The judgement finds nothing where all is well, and each thing that is planted."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from bench.chaos.account import Account
from bench.chaos.audit import Rule, judge
from bench.chaos.evidence import Delivery, Entry, Evidence, Payment, Placed, Process


def account(name: str, *, minor_units: int = 500) -> Account:
    return Account(
        request_id=f"req_{name}",
        customer_id="c",
        minor_units=minor_units,
        process_ids={f"prc_{name}"},
        revision_max=3,
    )


def process(name: str, state: str, *, minor_units: int = 500) -> Process:
    return Process(
        process_id=f"prc_{name}",
        request_id=f"req_{name}",
        customer_id="c",
        state=state,
        order_id=f"ord_{name}",
        payment_id=f"pay_{name}",
        delivery_id=f"dlv_{name}",
        minor_units=minor_units,
        revision=12,
    )


def entry(name: str, kind: str, *, minor_units: int = 500, release: str = "NOTHING") -> Entry:
    return Entry(
        payment_id=f"pay_{name}",
        kind=kind,
        declined=False,
        minor_units=minor_units,
        release=release,
    )


def placed(name: str, state: str, *, minor_units: int = 500) -> Placed:
    return Placed(order_id=f"ord_{name}", customer_id="c", state=state, minor_units=minor_units)


def payment(name: str, state: str, *, minor_units: int = 500) -> Payment:
    return Payment(
        payment_id=f"pay_{name}",
        order_id=f"ord_{name}",
        state=state,
        minor_units=minor_units,
        pending=False,
    )


def delivery(name: str, state: str) -> Delivery:
    return Delivery(
        delivery_id=f"dlv_{name}", order_id=f"ord_{name}", state=state, courier_id="courier"
    )


# Done; refunded; voided; declined; free; and one that never came further than its beginning.
WELL = Evidence(
    processes=(
        process("done", "COMPLETED"),
        process("returned", "CANCELLED"),
        process("voided", "CANCELLED"),
        process("declined", "CANCELLED"),
        process("free", "COMPLETED", minor_units=0),
        process("nothing", "CANCELLED"),
    ),
    orders=(
        placed("done", "CONFIRMED"),
        placed("returned", "CANCELLED"),
        placed("voided", "CANCELLED"),
        placed("declined", "CANCELLED"),
        placed("free", "CONFIRMED", minor_units=0),
        placed("nothing", "CANCELLED", minor_units=0),
    ),
    payments=(
        payment("done", "CONFIRMED"),
        payment("returned", "CANCELLED"),
        payment("voided", "CANCELLED"),
        payment("declined", "DECLINED"),
        payment("free", "CONFIRMED", minor_units=0),
    ),
    deliveries=(
        delivery("done", "ASSIGNED"),
        delivery("returned", "CANCELLED"),
        delivery("free", "ASSIGNED"),
    ),
    ledger=(
        entry("done", "HOLD"),
        entry("done", "CAPTURE"),
        entry("returned", "HOLD"),
        entry("returned", "CAPTURE"),
        entry("returned", "RELEASE", release="REFUNDED"),
        entry("voided", "HOLD"),
        entry("voided", "RELEASE", release="VOIDED"),
        replace(entry("declined", "HOLD"), declined=True),
    ),
    loads={"courier": 2, "idle": 0},
)


def accounts() -> list[Account]:
    names = ("done", "returned", "voided", "declined", "nothing")
    return [*(account(name) for name in names), account("free", minor_units=0)]


def broken(evidence: Evidence) -> set[tuple[Rule, str]]:
    return {(it.rule, it.subject) for it in judge(evidence, accounts())}


def test_nothing_is_found_where_all_is_well() -> None:
    assert set() == broken(WELL)


@pytest.mark.parametrize(
    ("lines", "subject"),
    [
        ((entry("voided", "CAPTURE"),), "prc_voided"),
        ((entry("declined", "HOLD"),), "prc_declined"),
        ((entry("nothing", "HOLD"), entry("nothing", "CAPTURE")), "prc_nothing"),
        ((entry("done", "CAPTURE"),), "prc_done"),
        ((entry("done", "RELEASE", release="REFUNDED"),), "prc_done"),
        ((entry("free", "HOLD", minor_units=1),), "prc_free"),
    ],
    ids=[
        "taken after its release",
        "held although declined",
        "taken for nothing",
        "taken twice",
        "given back although completed",
        "held although free",
    ],
)
def test_a_line_in_the_ledger_behind_the_back_is_found(
    lines: tuple[Entry, ...], subject: str
) -> None:
    planted = replace(WELL, ledger=(*WELL.ledger, *lines))
    assert {(Rule.MONEY, subject)} == broken(planted)


def test_a_capture_that_is_missing_is_found() -> None:
    planted = replace(
        WELL, ledger=tuple(it for it in WELL.ledger if it != entry("done", "CAPTURE"))
    )
    assert {(Rule.MONEY, "prc_done")} == broken(planted)


def test_a_delivery_left_assigned_is_found_and_so_is_its_courier() -> None:
    left = tuple(
        delivery("returned", "ASSIGNED") if it == delivery("returned", "CANCELLED") else it
        for it in WELL.deliveries
    )
    assert {(Rule.EFFECTS, "prc_returned"), (Rule.LOADS, "courier")} == broken(
        replace(WELL, deliveries=left)
    )


def test_a_process_that_is_lost_is_found_and_what_belonged_to_it() -> None:
    planted = replace(WELL, processes=WELL.processes[1:])
    assert {
        (Rule.ONE_PROCESS, "req_done"),
        (Rule.NO_ORPHANS, "ord_done"),
        (Rule.NO_ORPHANS, "pay_done"),
        (Rule.NO_ORPHANS, "dlv_done"),
    } == broken(planted)


def test_two_processes_of_one_request_are_found() -> None:
    second = replace(process("second", "CANCELLED"), request_id="req_done")
    planted = replace(WELL, processes=(*WELL.processes, second))
    assert {(Rule.ONE_PROCESS, "req_done")} == broken(planted)


def test_a_process_that_nobody_asked_for_is_found() -> None:
    stray = process("stray", "CANCELLED")
    assert {(Rule.NO_ORPHANS, "prc_stray")} == broken(
        replace(WELL, processes=(*WELL.processes, stray))
    )


@pytest.mark.parametrize("state", ["RUNNING", "COMPENSATING", "PARKED"])
def test_a_process_that_is_not_settled_is_found(state: str) -> None:
    planted = replace(WELL, processes=(process("done", state), *WELL.processes[1:]))
    assert {(Rule.SETTLED, "prc_done")} == broken(planted)


def test_a_changed_amount_is_found_wherever_it_was_changed() -> None:
    orders = (placed("done", "CONFIRMED", minor_units=501), *WELL.orders[1:])
    payments = (payment("done", "CONFIRMED", minor_units=501), *WELL.payments[1:])
    ledger = (*WELL.ledger[2:], entry("done", "HOLD"), entry("done", "CAPTURE", minor_units=501))
    assert {(Rule.AMOUNT, "prc_done")} == broken(replace(WELL, orders=orders))
    assert {(Rule.AMOUNT, "prc_done")} == broken(replace(WELL, payments=payments))
    assert {(Rule.MONEY, "prc_done")} == broken(replace(WELL, ledger=ledger))


def test_an_order_left_confirmed_and_a_payment_left_held_are_found() -> None:
    orders = (WELL.orders[0], placed("returned", "CONFIRMED"), *WELL.orders[2:])
    payments = (WELL.payments[0], payment("returned", "HELD"), *WELL.payments[2:])
    assert {(Rule.EFFECTS, "prc_returned")} == broken(replace(WELL, orders=orders))
    assert {(Rule.EFFECTS, "prc_returned")} == broken(replace(WELL, payments=payments))


def test_a_gateway_that_is_still_being_asked_is_found() -> None:
    asking = (*WELL.payments[:1], replace(WELL.payments[1], pending=True), *WELL.payments[2:])
    assert {(Rule.EFFECTS, "prc_returned")} == broken(replace(WELL, payments=asking))


def test_a_delivery_of_another_order_is_found() -> None:
    astray = (replace(WELL.deliveries[0], order_id="ord_other"), *WELL.deliveries[1:])
    assert {(Rule.EFFECTS, "prc_done")} == broken(replace(WELL, deliveries=astray))


def test_a_courier_with_a_load_that_nobody_gave_it_is_found() -> None:
    planted = replace(WELL, loads={"courier": 2, "idle": 1})
    assert {(Rule.LOADS, "idle")} == broken(planted)


def tell_completed(it: Account) -> None:
    it.completed = True


def tell_too_much(it: Account) -> None:
    it.revision_max = 13


def complain(it: Account) -> None:
    it.complaints.append("it was told INTERNAL: internal error")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (tell_completed, Rule.TOLD),
        (tell_too_much, Rule.TOLD),
        (complain, Rule.ANSWERED),
    ],
)
def test_what_a_caller_was_told_and_is_not_so_is_found(
    change: Callable[[Account], None], rule: Rule
) -> None:
    told = accounts()
    change(told[1])
    assert [rule] == [it.rule for it in judge(WELL, told)]


def test_completed_may_become_cancelled_once_that_was_asked_for() -> None:
    told = accounts()
    told[1].completed = told[1].cancel_asked = told[1].cancel_accepted = True
    assert [] == judge(WELL, told)


def test_a_cancel_that_was_accepted_and_not_carried_out_is_found() -> None:
    told = accounts()
    told[0].cancel_asked = told[0].cancel_accepted = True
    assert [Rule.TOLD] == [it.rule for it in judge(WELL, told)]


def test_a_hopeless_order_that_is_completed_is_found() -> None:
    told = accounts()
    told[0].hopeless = True
    assert [Rule.TOLD] == [it.rule for it in judge(WELL, told)]


def test_an_order_told_as_two_processes_is_found() -> None:
    told = accounts()
    told[0].process_ids.add("prc_other")
    assert [Rule.ONE_PROCESS] == [it.rule for it in judge(WELL, told)]
