"""AuditOrderProcesses in front of the three real participants."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from oms.common.v1.money_pb2 import Money
from oms.delivery.v1 import delivery_service_pb2 as delivery_pb
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from oms.order.v1 import order_service_pb2 as order_pb
from oms.order.v1.order_pb2 import OrderItem
from oms.payment.v1 import payment_service_pb2 as payment_pb
from tests.orchestrator.audit.harness.auditing import (
    audit,
    corrupt,
    kind_of,
    severity_of,
    usd,
)
from tests.orchestrator.edge.harness.office import PATIENCE_SECONDS, Office, address
from tests.orchestrator.edge.harness.town import Town


async def mixed(office: Office) -> dict[str, process_pb.OrderProcess]:
    """A process of each fate."""
    completed = await office.start("completed")
    returned = await office.start("returned")
    await office.cancel(returned.process_id, "sent back")
    return {
        "completed": completed,
        "declined": await office.start("declined", payment_method="pm_card_chargeDeclined"),
        "declined-late": await office.start(
            "declined-late", payment_method="pm_sandbox_confirmDeclined"
        ),
        "undeliverable": await office.start("undeliverable", delivery_address=address("AQ")),
        "unknown-method": await office.start("unknown-method", payment_method="pm_of_nobody"),
        "returned": await office.reaches(
            returned.process_id, process_pb.ORDER_PROCESS_STATE_CANCELLED
        ),
    }


async def test_after_orders_of_every_fate_all_agree(office: Office) -> None:
    await mixed(office)

    audited = await audit(office)

    assert [] == audited.findings
    summary = audited.summary
    assert not summary.wrong
    assert (6, 6, 5, 3) == (
        summary.counts.processes,
        summary.counts.orders,
        summary.counts.payments,
        summary.counts.deliveries,
    )
    assert [] == list(summary.money_at_risk)
    assert "" == audited.pages[-1].resume_token


async def test_with_nothing_at_all_there_is_nothing_to_find(office: Office) -> None:
    audited = await audit(office)

    assert [] == audited.findings
    assert 2 == len(audited.pages)
    assert 0 == audited.summary.counts.processes


async def test_a_payment_captured_behind_the_systems_back_is_found(
    town: Town, office: Office
) -> None:
    await mixed(office)
    behind = payment_pb.CreatePaymentRequest(
        payment_id="pay_behind", order_id="ord_x", amount=usd(700), payment_method="pm_card_visa"
    )
    await town.payment.CreatePayment(behind, timeout=PATIENCE_SECONDS)
    await town.payment.ConfirmPayment(
        payment_pb.ConfirmPaymentRequest(payment_id="pay_behind"), timeout=PATIENCE_SECONDS
    )

    audited = await audit(office)

    (finding,) = audited.findings
    assert ("ORPHAN_PAYMENT", "CRITICAL") == (kind_of(finding), severity_of(finding))
    assert ("", "pay_behind") == (finding.process_id, finding.payment_id)
    assert ("nothing", "CONFIRMED", usd(700)) == (finding.expected, finding.found, finding.amount)
    assert "CancelPayment" in finding.message
    assert {"USD": (0, 700)} == audited.money_at_risk
    assert audited.summary.wrong


async def test_a_payment_that_is_only_held_behind_the_systems_back_is_found(
    town: Town, office: Office
) -> None:
    behind = payment_pb.CreatePaymentRequest(
        order_id="ord_x", amount=usd(700), payment_method="pm_card_visa"
    )
    await town.payment.CreatePayment(behind, timeout=PATIENCE_SECONDS)

    audited = await audit(office)

    assert ["ORPHAN_PAYMENT"] == audited.kinds
    assert {"USD": (700, 0)} == audited.money_at_risk


async def test_what_nobody_knows_but_is_over_is_no_finding(town: Town, office: Office) -> None:
    declined = payment_pb.CreatePaymentRequest(
        order_id="ord_x", amount=usd(700), payment_method="pm_card_visa"
    )
    made = await town.payment.CreatePayment(declined, timeout=PATIENCE_SECONDS)
    await town.payment.CancelPayment(
        payment_pb.CancelPaymentRequest(payment_id=made.payment.payment_id),
        timeout=PATIENCE_SECONDS,
    )
    await town.payment.CancelPayment(
        payment_pb.CancelPaymentRequest(payment_id="pay_tombstone"), timeout=PATIENCE_SECONDS
    )
    await town.order.CancelOrder(
        order_pb.CancelOrderRequest(order_id="ord_tombstone"), timeout=PATIENCE_SECONDS
    )

    assert [] == (await audit(office)).findings


async def test_a_payment_of_a_cancelled_process_that_is_captured_is_found(
    folder: Path, office: Office
) -> None:
    processes = await mixed(office)
    corrupt(
        folder,
        "payment",
        "UPDATE payments SET state = 'CONFIRMED', cancel_requested = 0, release = 'NOTHING'"
        " WHERE payment_id = ?",
        processes["undeliverable"].payment_id,
    )

    audited = await audit(office)

    (finding,) = audited.findings
    assert "PAYMENT_OF_CANCELLED_PROCESS" == kind_of(finding)
    assert processes["undeliverable"].process_id == finding.process_id
    assert ("CONFIRMED", usd(2_500)) == (finding.found, finding.amount)
    assert {"USD": (0, 2_500)} == audited.money_at_risk


@pytest.fixture
def quiet() -> Iterator[None]:
    """Without the log of what fails by intention, which takes longer than all the rest."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("quiet")
async def test_rows_that_a_participant_cannot_read_blind_nobody_to_the_others(
    folder: Path, town: Town, office: Office
) -> None:
    processes = await mixed(office)
    behind = payment_pb.CreatePaymentRequest(
        payment_id="pay_behind", order_id="ord_x", amount=usd(700), payment_method="pm_card_visa"
    )
    await town.payment.CreatePayment(behind, timeout=PATIENCE_SECONDS)
    damage = "UPDATE payments SET state = 'CONFIRMED', cancel_requested = 1 WHERE payment_id = ?"
    for payment_id in (processes["undeliverable"].payment_id, "pay_behind"):
        corrupt(folder, "payment", damage, payment_id)
    corrupt(
        folder,
        "delivery",
        "UPDATE deliveries SET state = 'ASSIGNED' WHERE delivery_id = ?",
        processes["returned"].delivery_id,
    )

    audited = await audit(office)

    assert ["DELIVERY_OF_CANCELLED", *["ENTITY_UNREADABLE"] * 2] == audited.kinds
    known, unknown = (it for it in audited.findings if kind_of(it) == "ENTITY_UNREADABLE")
    assert processes["undeliverable"].process_id == known.process_id
    assert "" == unknown.process_id
    assert "payment service" in unknown.message
    assert 6 == audited.summary.counts.processes


async def test_a_delivery_left_assigned_is_found(folder: Path, office: Office) -> None:
    processes = await mixed(office)
    corrupt(
        folder,
        "delivery",
        "UPDATE deliveries SET state = 'ASSIGNED' WHERE delivery_id = ?",
        processes["returned"].delivery_id,
    )

    audited = await audit(office)

    (finding,) = audited.findings
    assert ("DELIVERY_OF_CANCELLED", "CRITICAL") == (kind_of(finding), severity_of(finding))
    assert processes["returned"].delivery_id == finding.delivery_id
    assert {} == audited.money_at_risk


async def test_a_changed_amount_is_found(folder: Path, office: Office) -> None:
    processes = await mixed(office)
    corrupt(
        folder,
        "payment",
        "UPDATE payments SET minor_units = 2501 WHERE payment_id = ?",
        processes["completed"].payment_id,
    )

    audited = await audit(office)

    (finding,) = audited.findings
    assert "AMOUNT_MISMATCH" == kind_of(finding)
    assert ("2500 USD (minor units)", "2501 USD (minor units)") == (finding.expected, finding.found)


async def test_a_changed_total_is_found(folder: Path, office: Office) -> None:
    processes = await mixed(office)
    corrupt(
        folder,
        "order",
        "UPDATE orders SET total_minor_units = 99 WHERE order_id = ?",
        processes["completed"].order_id,
    )

    audited = await audit(office)

    assert ["AMOUNT_MISMATCH"] == audited.kinds


async def test_orphans_of_every_kind_are_found(town: Town, office: Office) -> None:
    await mixed(office)
    item = OrderItem(
        sku="BOOK", quantity=1, unit_price=Money(currency_code="EUR", minor_units=1_000)
    )
    order = await town.order.CreateOrder(
        order_pb.CreateOrderRequest(
            customer_id="eve", items=[item], delivery_address=address("US")
        ),
        timeout=PATIENCE_SECONDS,
    )
    await town.delivery.CreateDelivery(
        delivery_pb.CreateDeliveryRequest(order_id=order.order.order_id, address=address("US")),
        timeout=PATIENCE_SECONDS,
    )

    audited = await audit(office)

    assert ["ORPHAN_DELIVERY", "ORPHAN_ORDER"] == audited.kinds
    assert order.order.order_id == next(it.order_id for it in audited.findings if it.order_id)


async def test_what_a_completed_process_lacks_is_found(folder: Path, office: Office) -> None:
    process = await office.start("robbed")
    for name, column, id_ in (
        ("order", "order_id", process.order_id),
        ("payment", "payment_id", process.payment_id),
        ("delivery", "delivery_id", process.delivery_id),
    ):
        table = "deliveries" if name == "delivery" else f"{name}s"
        corrupt(folder, name, f"DELETE FROM {table} WHERE {column} = ?", id_)  # noqa: S608 - ours

    audited = await audit(office)

    assert ["DELIVERY_MISSING", "ORDER_MISSING", "PAYMENT_MISSING"] == audited.kinds


async def test_what_was_changed_under_a_completed_process_is_found(
    town: Town, office: Office
) -> None:
    process = await office.start("cancelled-behind")
    await town.order.CancelOrder(
        order_pb.CancelOrderRequest(order_id=process.order_id), timeout=PATIENCE_SECONDS
    )
    await town.payment.CancelPayment(
        payment_pb.CancelPaymentRequest(payment_id=process.payment_id), timeout=PATIENCE_SECONDS
    )

    audited = await audit(office)

    assert [
        "DELIVERY_OF_CANCELLED",
        "ORDER_STATE_MISMATCH",
        "PAYMENT_STATE_MISMATCH",
    ] == audited.kinds


async def test_a_history_that_cannot_be_read_is_found(folder: Path, office: Office) -> None:
    process = await office.start("garbled")
    corrupt(
        folder,
        "orchestrator",
        "UPDATE events SET kind = 'of_tomorrow' WHERE process_id = ? AND sequence = 2",
        process.process_id,
    )

    audited = await audit(office)

    assert ["PROCESS_UNREADABLE"] == audited.kinds
