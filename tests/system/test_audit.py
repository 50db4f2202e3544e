"""`oms audit` in front of the four services: clean, corrupted, and with one of them down."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_CANCELLED,
    ORDER_PROCESS_STATE_COMPLETED,
    OrderProcess,
)
from oms.payment.v1.payment_service_pb2 import ConfirmPaymentRequest, CreatePaymentRequest
from tests.system.harness.command import Finished, grpcurl, oms
from tests.system.harness.requests import fresh, order, usd
from tests.system.harness.system import System

WRONG = 6


@pytest.fixture
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Four services of the test's own, for it leaves them in disorder."""
    whole = System(tmp_path_factory.mktemp("audited"), by_road=())
    try:
        yield await whole.start()
    finally:
        await whole.close()


async def audit(system: System, *arguments: str) -> Finished:
    return await oms("--target", system.orchestrator.address, "audit", *arguments)


async def orders(system: System) -> tuple[OrderProcess, OrderProcess]:
    """One that was delivered, and one that nobody could deliver."""
    placed = await asyncio.gather(
        system.orchestrator.place(order()),
        system.orchestrator.place(order(country_code="AQ")),
        system.orchestrator.place(order(payment_method="pm_card_chargeDeclined")),
    )
    delivered, undeliverable, _ = placed
    assert ORDER_PROCESS_STATE_COMPLETED == delivered.state
    assert ORDER_PROCESS_STATE_CANCELLED == undeliverable.state
    return delivered, undeliverable


def found(finished: Finished) -> list[str]:
    """The kinds of what was found."""
    return sorted(
        finding["kind"].removeprefix("AUDIT_FINDING_KIND_")
        for page in finished.json_stream
        for finding in page["findings"]
    )


async def test_what_is_changed_behind_the_systems_back_is_found_and_nothing_else(
    own: System,
) -> None:
    delivered, undeliverable = await orders(own)
    clean = await audit(own)
    assert 0 == clean.exit_code, clean.err
    assert "Audited 3 processes, 3 orders, 3 payments and 2 deliveries." in clean.out
    assert "Nothing is wrong." in clean.out

    behind = fresh("pay")
    await own.payments.CreatePayment(
        CreatePaymentRequest(
            payment_id=behind, order_id="o", amount=usd(700), payment_method="pm_card_visa"
        )
    )
    await own.payments.ConfirmPayment(ConfirmPaymentRequest(payment_id=behind))
    for service, statement, id_ in (
        (
            own.delivery,
            "UPDATE deliveries SET state = 'ASSIGNED' WHERE delivery_id = ?",
            undeliverable.delivery_id,
        ),
        (
            own.payment,
            "UPDATE payments SET minor_units = 3 WHERE payment_id = ?",
            delivered.payment_id,
        ),
    ):
        with closing(sqlite3.connect(service.database)) as database:
            assert 1 == database.execute(statement, [id_]).rowcount
            database.commit()

    wrong = await audit(own, "--json")
    assert WRONG == wrong.exit_code, wrong.err
    assert ["AMOUNT_MISMATCH", "DELIVERY_OF_CANCELLED", "ORPHAN_PAYMENT"] == found(wrong)
    summary = wrong.json_stream[-1]["summary"]
    assert summary["wrong"] is True
    (at_risk,) = summary["money_at_risk"]
    assert ("0", "700") == (at_risk["held"]["minor_units"], at_risk["captured"]["minor_units"])
    shown = await audit(own)
    assert WRONG == shown.exit_code
    for word in (behind, undeliverable.process_id, "7.00 USD", "CancelPayment", "Something is"):
        assert word in shown.out


async def test_an_audit_while_a_participant_is_down_names_it_and_goes_on_later(
    own: System,
) -> None:
    await orders(own)
    await own.delivery.stop()
    broken_off = await audit(own)
    assert 1 == broken_off.exit_code
    assert "delivery service does not answer" in broken_off.err
    (token,) = [
        line.split()[-1] for line in broken_off.err.splitlines() if line.startswith("To go on")
    ]
    await own.delivery.restart()
    whole = await audit(own, "--resume", token)
    assert 0 == whole.exit_code, whole.err
    assert "Audited 3 processes" in whole.out


async def test_an_audit_in_the_middle_of_orders_and_kills_reports_nothing_false(
    own: System,
) -> None:
    async def place() -> None:
        for _ in range(10):
            await asyncio.gather(
                own.orchestrator.accept(order()),
                own.orchestrator.accept(order(country_code="AQ")),
                own.orchestrator.accept(order(payment_method="pm_card_chargeDeclined")),
            )

    async def audits(until: "asyncio.Task[None]") -> list[Finished]:
        ran = []
        while not until.done():
            ran.append(await audit(own))
        return ran

    placing = asyncio.create_task(place())
    auditing = asyncio.create_task(audits(placing))
    await own.delivery.kill()
    await own.delivery.restart()
    await placing
    ran = await auditing
    # Where the delivery service was away for longer than a call the audit says so, and no more.
    assert {it.exit_code for it in ran} <= {0, 1}, [it.out for it in ran]


async def test_grpcurl_audits_as_well(own: System) -> None:
    await orders(own)
    streamed = await grpcurl(
        *("-d", "{}", own.orchestrator.address),
        "oms.orchestrator.v1.OrderProcessAdminService/AuditOrderProcesses",
    )
    assert 0 == streamed.exit_code, streamed.err
    summary = streamed.json_stream[-1]["summary"]
    assert "3" == summary["counts"]["processes"]
