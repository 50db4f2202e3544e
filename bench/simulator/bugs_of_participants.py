"""Mistakes that a participant could make. See `bugs`.

Must never: be imported by anything but `bugs`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from bench.simulator.orders.desks import DeliveryDesk, OrderDesk
from bench.simulator.orders.payment_desk import PaymentDesk, SimulatedRecords
from orchestrator.action import ActionCall
from orchestrator.order_process import payment_id_of
from order_svc import domain as order_domain
from order_svc.domain import Order
from payment_svc import domain as payment_domain
from payment_svc.domain import Content, Payment, Stage
from payment_svc.payments import Payments


@contextmanager
def no_tombstone() -> Iterator[None]:
    def unless_unseen(store: Any) -> Any:  # noqa: ANN401 - three methods of one shape
        def keep(self: Any, entity_id: str, after: Any, *rest: Any) -> None:  # noqa: ANN401 - same
            if after.content is not None:
                store(self, entity_id, after, *rest)

        return keep

    with (
        patch.object(OrderDesk, "_store", unless_unseen(OrderDesk._store)),
        patch.object(DeliveryDesk, "_store", unless_unseen(DeliveryDesk._store)),
        patch.object(SimulatedRecords, "store", unless_unseen(SimulatedRecords.store)),
    ):
        yield


@contextmanager
def upsert_over_tombstone() -> Iterator[None]:
    create = payment_domain.create

    def upsert(payment: Payment | None, payment_id: str, content: Content, now_us: int) -> Payment:
        if payment is None or payment.stage is not Stage.CANCELLED:
            return create(payment, payment_id, content, now_us)
        anew = create(None, payment_id, content, now_us)
        return replace(anew, version=payment.version + 1)

    with patch.object(payment_domain, "create", upsert):
        yield


@contextmanager
def create_overwrites() -> Iterator[None]:
    create = order_domain.create

    def overwrite(
        order: Order | None, order_id: str, content: order_domain.Content, now_us: int
    ) -> Order:
        if order is None or order.state is order_domain.State.CANCELLED:
            return create(order, order_id, content, now_us)
        return replace(create(None, order_id, content, now_us), version=order.version + 1)

    with patch.object(order_domain, "create", overwrite):
        yield


@contextmanager
def fresh_id_on_retry() -> Iterator[None]:
    def drawn(self: PaymentDesk, call: ActionCall) -> str:
        del self
        payment_id = payment_id_of(call.process_id)
        again = call.action == "process_payment" and call.attempt > 1
        return f"{payment_id}-{call.attempt}" if again else payment_id

    with patch.object(PaymentDesk, "payment_id", drawn):
        yield


@contextmanager
def gateway_before_intent() -> Iterator[None]:
    create = Payments.create

    async def ask_first(self: Payments, payment_id: str, content: Content) -> Payment:
        if content.amount.minor_units:
            await self.asks._gateway.hold(payment_id, content.amount, content.payment_method)
        return await create(self, payment_id, content)

    with patch.object(Payments, "create", ask_first):
        yield
