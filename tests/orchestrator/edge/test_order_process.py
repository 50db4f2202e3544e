"""The order process is the table of the design, and an order's content is what it always was."""

import json
from dataclasses import replace
from typing import Any

import pytest

from chassis import faults
from orchestrator.order_process import (
    ORDER_PROCESS,
    delivery_id_of,
    order_id_of,
    payment_id_of,
    process_id_of,
    start_order_process,
)
from orchestrator.placed_order import Address, Item, Money, PlacedOrder
from orchestrator.runner import Runner
from orchestrator.saga_log.protocol import ProcessRow
from orchestrator.settings import OrchestratorSettings

ORDER = PlacedOrder(
    customer_id="ada",
    items=(
        Item(sku="BOOK", quantity=2, unit_price=Money(currency_code="USD", minor_units=1_250)),
        Item(sku="PEN", quantity=1, unit_price=Money(currency_code="USD", minor_units=99)),
    ),
    payment_method="pm_card_visa",
    delivery_address=Address(
        recipient="Ada",
        lines=("1 Market St",),
        locality="São Paulo",
        region="",
        postal_code="94105",
        country_code="BR",
    ),
)


def test_the_steps_are_those_of_the_design_in_its_order() -> None:
    assert [
        ("create_order", "cancel_order", None),
        ("process_payment", "cancel_payment", None),
        ("confirm_payment", None, "cancel_payment"),
        ("confirm_order", None, "cancel_order"),
        ("process_delivery", "cancel_delivery", None),
    ] == [(step.name, step.undo, step.covered_by) for step in ORDER_PROCESS.steps]


def test_what_was_released_keeps_its_name_and_version() -> None:
    assert ("order_process", 1) == ORDER_PROCESS.key


def test_all_ids_of_a_process_lead_back_to_it() -> None:
    process_id = "prc_01jd"

    assert ("ord_01jd", "pay_01jd", "dlv_01jd") == (
        order_id_of(process_id),
        payment_id_of(process_id),
        delivery_id_of(process_id),
    )
    assert process_id == process_id_of(order_id_of(process_id))
    assert [None, None, None] == [process_id_of(it) for it in ("pay_01jd", "01jd", "")]


def test_the_total_is_the_sum_over_the_items() -> None:
    assert Money(currency_code="USD", minor_units=2_599) == ORDER.total


def test_an_order_comes_back_from_its_content() -> None:
    assert ORDER == PlacedOrder.of(ORDER.content())


def test_the_fingerprint_of_an_order_is_the_same_for_ever() -> None:
    # Were it another one, requests sent before a release would be refused after it.
    assert "acefa695ad702bddc668b258eddca99a46ad3839be0aad1296ad1badbbbc3478" == ORDER.fingerprint()


@pytest.mark.parametrize(
    "text", ["", '"', "\\", "\n\t\x00\x7f", "é", "\u2028", "\U0001f600", "{0}%s", "</a>"]
)
def test_the_canonical_json_is_that_of_the_content(text: str) -> None:
    money = Money(currency_code=text, minor_units=-1)
    order = PlacedOrder(
        customer_id=text,
        items=tuple(Item(sku=text, quantity=n, unit_price=money) for n in range(2)),
        payment_method=text,
        delivery_address=Address(
            recipient=text,
            lines=(text, text),
            locality=text,
            region=text,
            postal_code=text,
            country_code=text,
        ),
    )

    for it in (order, replace(order, items=())):
        assert json.dumps(it.content(), sort_keys=True, separators=(",", ":")) == it.canonical()


class Accepts(Runner):
    """Takes what it is given to run, and runs nothing."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}

    async def accept(self, **given: Any) -> tuple[ProcessRow, bool]:
        self.given = given
        raise faults.Unavailable("DRAINING", "nothing is run here")


async def test_a_process_begins_with_its_order_and_the_text_says_the_same() -> None:
    runner = Accepts()

    with pytest.raises(faults.Unavailable):
        await start_order_process(
            runner,
            ORDER,
            definition=ORDER_PROCESS,
            process_id="prc_1",
            request_id="r",
            deadline_us=1,
        )

    begun_with = runner.given["input"]
    assert {**ORDER.content(), "total": ORDER.total.content()} == begun_with
    assert begun_with == json.loads(begun_with.text)
    assert (ORDER.fingerprint(), "ada") == (runner.given["fingerprint"], runner.given["subject"])


def test_whatever_differs_in_an_order_its_fingerprint_does() -> None:
    address = ORDER.delivery_address
    first, second = ORDER.items
    others = [
        replace(ORDER, customer_id="grace"),
        replace(ORDER, payment_method="pm"),
        replace(ORDER, items=(first,)),
        replace(ORDER, items=(second, first)),
        replace(ORDER, items=(replace(first, sku="B"), second)),
        replace(ORDER, items=(replace(first, quantity=3), second)),
        replace(
            ORDER,
            items=(replace(first, unit_price=replace(first.unit_price, minor_units=1)), second),
        ),
        replace(
            ORDER,
            items=(
                replace(first, unit_price=replace(first.unit_price, currency_code="EUR")),
                second,
            ),
        ),
        replace(ORDER, delivery_address=replace(address, recipient="Grace")),
        replace(ORDER, delivery_address=replace(address, lines=("1 Market St", ""))),
        replace(ORDER, delivery_address=replace(address, locality="Sao Paulo")),
        replace(ORDER, delivery_address=replace(address, region="SP")),
        replace(ORDER, delivery_address=replace(address, postal_code="")),
        replace(ORDER, delivery_address=replace(address, country_code="US")),
    ]

    assert len(others) + 1 == len({it.fingerprint() for it in (ORDER, *others)})


def test_the_defaults_are_those_of_the_design() -> None:
    settings = OrchestratorSettings()
    policy = settings.policy()

    assert ("127.0.0.1:50051", "sqlite:///var/orchestrator.db") == (
        settings.orchestrator_listen,
        settings.orchestrator_database_url,
    )
    assert ["127.0.0.1:50052", "127.0.0.1:50053", "127.0.0.1:50054"] == [
        settings.order_target,
        settings.payment_target,
        settings.delivery_target,
    ]
    assert (2.0, 60.0, 86_400.0, 10_000, 14 * 86_400.0) == (
        policy.attempt_timeout_seconds,
        settings.process_deadline_seconds,
        policy.compensation_horizon_seconds,
        settings.in_flight_max,
        settings.return_window_seconds,
    )
    assert (0.05, 5.0, 300.0) == (
        policy.step_retries.floor_seconds,
        policy.step_retries.cap_seconds,
        policy.undo_retries.cap_seconds,
    )
