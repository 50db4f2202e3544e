"""Attempts at the actions of the participants."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import grpc.aio

from orchestrator.action import Action, ActionCall, ActionReply
from orchestrator.participants.delivery import DeliveryParticipant
from orchestrator.participants.order import OrderParticipant
from orchestrator.participants.payment import PaymentParticipant
from orchestrator.placed_order import Address, Item, Money, PlacedOrder

PATIENCE_SECONDS = 30.0

PLACED = PlacedOrder(
    customer_id="ada",
    items=(Item(sku="BOOK", quantity=2, unit_price=Money(currency_code="USD", minor_units=1_250)),),
    payment_method="pm_card_visa",
    delivery_address=Address(
        recipient="Ada",
        lines=("1 Market St", "Floor 2"),
        locality="San Francisco",
        region="CA",
        postal_code="94105",
        country_code="US",
    ),
)
CALL = ActionCall(
    process_id="prc_1",
    action="",
    attempt=1,
    timeout_seconds=PATIENCE_SECONDS,
    input=PLACED.content(),
    # The order service added up another sum than the orchestrator would: its word counts.
    results={"create_order": {"total": {"currency_code": "USD", "minor_units": 2_400}}},
)

METHOD_OF = {
    "create_order": "CreateOrder",
    "confirm_order": "ConfirmOrder",
    "cancel_order": "CancelOrder",
    "process_payment": "CreatePayment",
    "confirm_payment": "ConfirmPayment",
    "cancel_payment": "CancelPayment",
    "process_delivery": "CreateDelivery",
    "cancel_delivery": "CancelDelivery",
}


def actions_on(channel: grpc.aio.Channel, *, outstanding_max: int = 10) -> Mapping[str, Action]:
    return {
        **OrderParticipant(channel, outstanding_max=outstanding_max).actions(),
        **PaymentParticipant(channel, outstanding_max=outstanding_max).actions(),
        **DeliveryParticipant(channel, outstanding_max=outstanding_max).actions(),
    }


async def act(channel: grpc.aio.Channel, action: str, **changes: Any) -> ActionReply:
    call = replace(CALL, action=action, **changes)
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await actions_on(channel)[action](call)
