"""Two replicas of each participant on a PostgreSQL that crashes, one of them killed: one truth.

Whatever happens, every id has one state, it is the one that was answered, and nothing was done
twice.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import sqlalchemy as sa

from bench.postgres import PostgresServer
from chassis.database import open_to_look
from delivery_svc.couriers import COURIERS
from oms.delivery.v1 import delivery_pb2, delivery_service_pb2, delivery_service_pb2_grpc
from oms.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from oms.payment.v1 import payment_pb2, payment_service_pb2, payment_service_pb2_grpc
from payment_svc.sandbox.store import open_ledger_view
from tests.delivery_svc.harness.deliveries import create_request as delivery_request
from tests.order_svc.harness.orders import create_request as order_request
from tests.payment_svc.harness.calls import creation as payment_request
from tests.payment_svc.harness.desk import AMOUNT
from tests.system.harness.replicas import Replicas

IDS = 120
AT_ONCE = 12


class Crashing:
    """A PostgreSQL, and the one thread that starts it: it lives no longer than that."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._server = PostgresServer(durable=False)
        self._thread.submit(self._server.start).result()

    def url(self, schema: str) -> str:
        return f"{self._server.url()}?schema={schema}"

    async def crash(self) -> None:
        """And starts again."""
        await asyncio.wrap_future(self._thread.submit(self._server.restart))

    def close(self) -> None:
        self._thread.submit(self._server.close).result()
        self._thread.shutdown()


@pytest.fixture(scope="module")
def server() -> Iterator[Crashing]:
    opened = Crashing()
    yield opened
    opened.close()


@asynccontextmanager
async def replicas(
    name: str, stub_of: Any, folder: Path, **settings: str
) -> AsyncIterator[Replicas]:
    async with Replicas(name, stub_of, count=2, folder=folder, settings=settings) as opened:
        yield opened


async def hammered(
    both: Replicas, server: Crashing, lives: Sequence[Callable[[], Coroutine[Any, Any, None]]]
) -> None:
    """Runs the lives, and meanwhile has the server crash, one replica killed, the server crash."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def lived(life: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with turns:
            await life()

    async def blows() -> None:
        await both.until_answered(IDS // 2)
        await server.crash()
        await both.until_answered(IDS)
        await both.services[0].kill()
        await both.until_answered(IDS + IDS // 2)
        await server.crash()
        await both.services[0].restart()

    await asyncio.gather(blows(), *map(lived, lives))


async def told(call: Coroutine[Any, Any, Any]) -> Any:
    """The answer, or the code of a refusal."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return error.code()


async def test_orders(server: Crashing, tmp_path: Path) -> None:
    pb, m = order_service_pb2, order_pb2
    answers: dict[str, list[Any]] = {}
    async with replicas(
        "order",
        order_service_pb2_grpc.OrderServiceStub,
        tmp_path,
        OMS_ORDER_DATABASE_URL=server.url("orders"),
    ) as both:

        async def life(order_id: str, number: int) -> None:
            """The same is asked of both at once; every third is cancelled by one meanwhile."""
            create = [
                told(both.call("CreateOrder", order_request(order_id), first=it)) for it in (0, 1)
            ]
            if number % 3 == 0:
                cancel = pb.CancelOrderRequest(order_id=order_id)
                create.append(told(both.call("CancelOrder", cancel, first=number)))
            answers[order_id] = list(await asyncio.gather(*create))
            confirm = pb.ConfirmOrderRequest(order_id=order_id)
            answers[order_id] += await asyncio.gather(
                *(told(both.call("ConfirmOrder", confirm, first=it)) for it in (0, 1))
            )

        ids = {f"ord_{number}": number for number in range(IDS)}
        await hammered(both, server, [partial(life, it, number) for it, number in ids.items()])
        for order_id, number in ids.items():
            get = pb.GetOrderRequest(order_id=order_id)
            seen = [(await both.call("GetOrder", get, first=it)).order for it in (0, 1)]
            assert seen[0] == seen[1]
            expected = m.ORDER_STATE_CONFIRMED if number % 3 else m.ORDER_STATE_CANCELLED
            assert expected == seen[0].state, answers[order_id]
            refused = {it for it in answers[order_id] if isinstance(it, grpc.StatusCode)}
            assert refused <= (set() if number % 3 else {grpc.StatusCode.FAILED_PRECONDITION})


async def test_payments_and_the_ledger(server: Crashing, tmp_path: Path) -> None:
    pb, m = payment_service_pb2, payment_pb2
    ledger_url = server.url("gateway")
    async with replicas(
        "payment",
        payment_service_pb2_grpc.PaymentServiceStub,
        tmp_path,
        OMS_PAYMENT_DATABASE_URL=server.url("payments"),
        OMS_PAYMENT_GATEWAY_DATABASE_URL=ledger_url,
    ) as both:

        async def life(payment_id: str, number: int) -> None:
            create = payment_request(payment_id)
            asked = [told(both.call("CreatePayment", create, first=it)) for it in (0, 1)]
            cancel = pb.CancelPaymentRequest(payment_id=payment_id)
            if number % 3 == 0:
                asked.append(told(both.call("CancelPayment", cancel, first=number)))
            await asyncio.gather(*asked)
            confirm = pb.ConfirmPaymentRequest(payment_id=payment_id)
            asked = [told(both.call("ConfirmPayment", confirm, first=it)) for it in (0, 1)]
            if number % 3 == 1:
                asked.append(told(both.call("CancelPayment", cancel, first=number)))
            await asyncio.gather(*asked)

        ids = {f"pay_{number}": number for number in range(IDS)}
        await hammered(both, server, [partial(life, it, number) for it, number in ids.items()])
        with open_ledger_view(ledger_url) as view:
            entries, moved = view.entries(), view.balances()
        assert len(entries) == len({(it.payment_id, it.kind) for it in entries})
        for payment_id, number in ids.items():
            get = pb.GetPaymentRequest(payment_id=payment_id)
            seen = [(await both.call("GetPayment", get, first=it)).payment for it in (0, 1)]
            assert seen[0] == seen[1]
            stays = number % 3 == 2
            assert (m.PAYMENT_STATE_CONFIRMED if stays else m.PAYMENT_STATE_CANCELLED) == (
                seen[0].state
            )
            if payment_id in moved:
                assert (0, AMOUNT if stays else 0) == (
                    moved[payment_id].on_hold,
                    moved[payment_id].taken,
                )
            else:
                assert not stays


async def test_deliveries_and_the_courier_book(server: Crashing, tmp_path: Path) -> None:
    pb, m = delivery_service_pb2, delivery_pb2
    url = server.url("deliveries")
    async with replicas(
        "delivery",
        delivery_service_pb2_grpc.DeliveryServiceStub,
        tmp_path,
        OMS_DELIVERY_DATABASE_URL=url,
    ) as both:

        async def life(delivery_id: str, number: int) -> None:
            create = delivery_request(delivery_id)
            asked = [told(both.call("CreateDelivery", create, first=it)) for it in (0, 1)]
            cancel = pb.CancelDeliveryRequest(delivery_id=delivery_id)
            if number % 3 == 0:
                asked.append(told(both.call("CancelDelivery", cancel, first=number)))
            await asyncio.gather(*asked)

        ids = {f"dlv_{number}": number for number in range(IDS)}
        await hammered(both, server, [partial(life, it, number) for it, number in ids.items()])
        assigned: Counter[str] = Counter()
        for delivery_id, number in ids.items():
            get = pb.GetDeliveryRequest(delivery_id=delivery_id)
            seen = [(await both.call("GetDelivery", get, first=it)).delivery for it in (0, 1)]
            assert seen[0] == seen[1]
            expected = m.DELIVERY_STATE_ASSIGNED if number % 3 else m.DELIVERY_STATE_CANCELLED
            assert expected == seen[0].state
            if expected == m.DELIVERY_STATE_ASSIGNED:
                assigned[seen[0].courier_id] += 1
    engine = open_to_look(url, name="delivery")
    with engine.connect() as connection:
        loads = connection.execute(
            sa.select(COURIERS.c.courier_id, COURIERS.c.load).where(COURIERS.c.load > 0)
        ).all()
    engine.dispose()
    assert assigned == {row.courier_id: row.load for row in loads}
