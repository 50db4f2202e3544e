"""The payment service as a process of its own: killed, restarted, drained, misconfigured."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest

from chassis.database import Database
from chassis.settings import describe
from chassis.statuses import read_error
from oms.common.v1 import money_pb2
from oms.payment.v1 import payment_pb2 as m
from oms.payment.v1 import payment_service_pb2 as pb
from oms.payment.v1 import payment_service_pb2_grpc
from payment_svc import store
from payment_svc.sandbox import gateway
from payment_svc.sandbox.ledger import Balance
from payment_svc.sandbox.store import open_ledger_view
from payment_svc.settings import PaymentSettings
from tests.payment_svc.harness.desk import refusal
from tests.system.harness.process import PATIENCE_SECONDS
from tests.system.harness.service import Service

# Only checkers know this class.
Stub: TypeAlias = "payment_service_pb2_grpc.PaymentServiceAsyncStub"
AMOUNT = 2_500
URLS = {"payment": "PAYMENT_DATABASE_URL", "gateway": "PAYMENT_GATEWAY_DATABASE_URL"}


@asynccontextmanager
async def service(folder: Path, **settings: str) -> AsyncIterator[tuple[Service, Stub]]:
    payment = Service("payment", folder=folder, settings=settings)
    try:
        await payment.start()
        yield payment, payment_service_pb2_grpc.PaymentServiceStub(payment.channel)
    finally:
        await payment.close()


def creation(payment_id: str, method: str) -> pb.CreatePaymentRequest:
    return pb.CreatePaymentRequest(
        payment_id=payment_id,
        order_id="ord_1",
        amount=money_pb2.Money(currency_code="USD", minor_units=AMOUNT),
        payment_method=method,
    )


def balance(folder: Path, payment_id: str) -> Balance:
    """As the ledger has it where nobody said where it should be."""
    with open_ledger_view(f"sqlite:///{folder}/var/gateway.db") as view:
        return view.balance(payment_id)


async def until_held(stub: Stub, folder: Path, payment_id: str) -> None:
    """Waits until the gateway holds the money; the answer is not there yet."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while balance(folder, payment_id).on_hold == 0:
            await stub.ListPayments(pb.ListPaymentsRequest(page_size=1))


async def until_not_refused_for_now(call: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if read_error(error).reason != "IN_PROGRESS":
                    raise


async def test_killed_while_the_gateway_is_asked_and_cancelled_after_the_restart_it_holds_nothing(
    tmp_path: Path,
) -> None:
    async with service(tmp_path, OMS_PAYMENT_SANDBOX_SLOW_SECONDS="3") as (payment, stub):
        create = asyncio.create_task(
            refusal(stub.CreatePayment(creation("pay_1", "pm_sandbox_slow")))
        )
        await until_held(stub, tmp_path, "pay_1")
        await payment.kill()
        assert grpc.StatusCode.UNAVAILABLE is (await create).code
        assert AMOUNT == balance(tmp_path, "pay_1").on_hold

        await payment.restart()
        cancel = pb.CancelPaymentRequest(payment_id="pay_1")
        cancelled = await until_not_refused_for_now(
            lambda: stub.CancelPayment(cancel, wait_for_ready=True)
        )
        assert (m.PAYMENT_STATE_CANCELLED, m.PAYMENT_RELEASE_VOIDED) == (
            cancelled.payment.state,
            cancelled.payment.release,
        )
        moved = balance(tmp_path, "pay_1")
        assert (0, 0, AMOUNT) == (moved.on_hold, moved.taken, moved.released)
        late = await refusal(stub.CreatePayment(creation("pay_1", "pm_sandbox_slow")))
        assert "ALREADY_CANCELLED" == late.reason


async def test_cancelled_first_and_killed_afterwards_it_holds_nothing_though_nobody_asks_again(
    tmp_path: Path,
) -> None:
    async with service(tmp_path, OMS_PAYMENT_SANDBOX_SLOW_SECONDS="2") as (payment, stub):
        create = asyncio.create_task(
            refusal(stub.CreatePayment(creation("pay_1", "pm_sandbox_slow")))
        )
        await until_held(stub, tmp_path, "pay_1")
        wish = await refusal(stub.CancelPayment(pb.CancelPaymentRequest(payment_id="pay_1")))
        assert (grpc.StatusCode.ABORTED, "IN_PROGRESS") == (wish.code, wish.reason)
        await payment.kill()
        await create

        await payment.restart()
        get = pb.GetPaymentRequest(payment_id="pay_1")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = (await stub.GetPayment(get, wait_for_ready=True)).payment
                if found.state == m.PAYMENT_STATE_CANCELLED:
                    break
        assert 0 == balance(tmp_path, "pay_1").on_hold


async def test_a_payment_killed_between_any_two_calls_is_as_it_was_answered(tmp_path: Path) -> None:
    async with service(tmp_path) as (payment, stub):
        await stub.CreatePayment(creation("pay_1", "pm_card_visa"))
        await payment.kill()
        await payment.restart()
        confirm = pb.ConfirmPaymentRequest(payment_id="pay_1")
        confirmed = (await stub.ConfirmPayment(confirm, wait_for_ready=True)).payment
        await payment.kill()
        await payment.restart()
        get = pb.GetPaymentRequest(payment_id="pay_1")
        assert confirmed == (await stub.GetPayment(get, wait_for_ready=True)).payment
        assert m.PAYMENT_STATE_CONFIRMED == confirmed.state
        assert AMOUNT == balance(tmp_path, "pay_1").taken


async def test_told_to_stop_it_lets_the_gateway_answer_within_the_grace(tmp_path: Path) -> None:
    async with service(tmp_path, OMS_PAYMENT_SANDBOX_SLOW_SECONDS="1") as (payment, stub):
        create = asyncio.create_task(_answer(stub, creation("pay_1", "pm_sandbox_slow")))
        await until_held(stub, tmp_path, "pay_1")
        assert 0 == await payment.stop()
        assert m.PAYMENT_STATE_HELD == (await create).state


async def test_told_to_stop_it_leaves_to_the_next_start_what_outlasts_the_grace(
    tmp_path: Path,
) -> None:
    slow = {"OMS_PAYMENT_SANDBOX_SLOW_SECONDS": "3600", "OMS_DRAIN_GRACE_SECONDS": "0.1"}
    async with service(tmp_path, **slow) as (payment, stub):
        create = asyncio.create_task(_answer(stub, creation("pay_1", "pm_sandbox_slow")))
        await until_held(stub, tmp_path, "pay_1")
        assert 0 == await payment.stop()
        await asyncio.gather(create, return_exceptions=True)
        assert "asks_left_to_the_next_start" in payment.log.read_text()

        payment.settings["OMS_PAYMENT_SANDBOX_SLOW_SECONDS"] = "0"
        await payment.restart()
        again = stub.CreatePayment(creation("pay_1", "pm_sandbox_slow"), wait_for_ready=True)
        assert m.PAYMENT_STATE_HELD == (await again).payment.state


async def test_help_lists_every_setting(tmp_path: Path) -> None:
    payment = Service("payment", folder=tmp_path, settings={})
    try:
        process = await payment.spawn("--help")
        assert 0 == await process.ended()
        told = process.log.read_text()
        for setting in describe(PaymentSettings):
            assert setting.flag in told
            assert setting.env in told
    finally:
        await payment.close()


@pytest.mark.parametrize("name", ["payment", "gateway"])
async def test_a_database_of_a_newer_release_is_refused_in_one_line(
    tmp_path: Path, name: str
) -> None:
    url = f"sqlite:///{tmp_path}/{name}.db"
    migrations = {"payment": store.MIGRATIONS, "gateway": gateway.MIGRATIONS}
    await Database.open(url, name=name, migrations=migrations[name]).close()
    with closing(sqlite3.connect(tmp_path / f"{name}.db")) as connection, connection:
        connection.execute(f"UPDATE {name}_schema_version SET version_num = '9999'")  # noqa: S608 - a name from this test
    payment = Service("payment", folder=tmp_path, settings={f"OMS_{URLS[name]}": url})
    try:
        process = await payment.spawn()
        assert 78 == await process.ended()
        last = process.log.read_text().splitlines()[-1]
        assert f"{name} database is at revision 9999" in last
    finally:
        await payment.close()


async def _answer(stub: Stub, request: pb.CreatePaymentRequest) -> m.Payment:
    return (await stub.CreatePayment(request)).payment
