"""How the orders of the demonstration must end."""

from dataclasses import replace

import pytest

from console.demo_orders import DEMO_ORDERS, DemoOrder, Ended, differences
from oms.orchestrator.v1.order_process_pb2 import OrderProcess, OrderProcessState
from tests.console.harness.fake_orchestrator import at


def ended_well(order: DemoOrder) -> OrderProcess:
    process = OrderProcess(state=OrderProcessState.Value(f"ORDER_PROCESS_STATE_{order.state}"))
    for place, name in enumerate(order.undos):
        process.steps.add(
            name=name, undo=True, start_time=at(place * 10), end_time=at(place * 10 + 5)
        )
    return process


@pytest.mark.parametrize("order", DEMO_ORDERS, ids=lambda order: order.state)
def test_an_order_that_ended_as_it_must_has_no_differences(order: DemoOrder) -> None:
    assert () == differences(order, ended_well(order), order.ended)


@pytest.mark.parametrize("order", DEMO_ORDERS, ids=lambda order: order.state)
@pytest.mark.parametrize("participant", ["order", "payment", "delivery"])
def test_a_participant_that_ended_otherwise_is_named(order: DemoOrder, participant: str) -> None:
    ends = replace(order.ended, **{participant: "LOST"})
    (difference,) = differences(order, ended_well(order), ends)
    assert f"the {participant} is LOST, not " in difference


def test_a_process_that_ended_otherwise_is_named() -> None:
    process = ended_well(DEMO_ORDERS[0])
    process.state = OrderProcessState.Value("ORDER_PROCESS_STATE_PARKED")
    (difference,) = differences(DEMO_ORDERS[0], process, DEMO_ORDERS[0].ended)
    assert "Delivered: the process is PARKED, not COMPLETED" == difference


def test_undos_out_of_order_are_named() -> None:
    order = DEMO_ORDERS[2]
    process = ended_well(order)
    process.steps.reverse()
    named = [it.split(": ", 1)[1] for it in differences(order, process, order.ended)]
    assert [
        "undone by cancel_order, cancel_payment, not cancel_payment, cancel_order",
        "cancel_payment began before cancel_order was over",
    ] == named


def test_an_undo_of_a_delivery_whose_answer_was_lost_is_as_it_should_be() -> None:
    order = DEMO_ORDERS[2]
    process = ended_well(order)
    process.steps.add(name="cancel_delivery", undo=True)
    assert () == differences(order, process, order.ended)


def test_a_state_is_told_by_participant() -> None:
    ends = Ended(order="A", payment="B", delivery="C")
    assert {"order": "A", "payment": "B", "delivery": "C"} == ends.states()
