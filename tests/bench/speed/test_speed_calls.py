"""The bare orchestrator makes the calls that ours makes."""

from google.protobuf.message import Message

from bench.speed import five_calls
from bench.speed.works import TOTAL, order, written_order
from chassis.handlers import PROCESS_ID_METADATA
from oms.orchestrator.v1.order_process_service_pb2 import StartOrderProcessRequest
from orchestrator import requests
from orchestrator.action import ActionCall
from orchestrator.participants import delivery, payment
from orchestrator.participants import order as order_client
from orchestrator.participants.participant import OUTSTANDING_MAX
from orchestrator.settings import OrchestratorSettings

PROCESS_ID = "prc_01jd"
REQUEST = order("r1", 7)


def our_call(action: str) -> ActionCall:
    _, placed = requests.start(REQUEST)
    return ActionCall(
        process_id=PROCESS_ID,
        action=action,
        input=placed.content(),
        results={
            "create_order": {
                "total": {
                    "currency_code": TOTAL.currency_code,
                    "minor_units": TOTAL.minor_units,
                }
            }
        },
        attempt=1,
        timeout_seconds=1.0,
    )


def test_the_messages_are_the_same() -> None:
    ours: list[Message] = [
        order_client._create_request(our_call("create_order")),
        payment._create_request(our_call("process_payment")),
        delivery._create_request(our_call("process_delivery")),
    ]
    assert ours == [
        five_calls.create_order_request(PROCESS_ID, REQUEST),
        five_calls.create_payment_request(PROCESS_ID, REQUEST, TOTAL),
        five_calls.create_delivery_request(PROCESS_ID, REQUEST),
    ]


def test_what_is_written_once_for_all_orders_is_the_same_order() -> None:
    for number in (0, 7, 1_007):
        written = StartOrderProcessRequest.FromString(written_order("r1", number))
        assert order("r1", number) == written


def test_the_total_is_what_the_order_service_adds_up() -> None:
    _, placed = requests.start(REQUEST)
    assert TOTAL.minor_units == placed.total.minor_units


def test_deadline_bound_and_metadata_are_the_same() -> None:
    assert OrchestratorSettings().attempt_timeout_seconds == five_calls.TIMEOUT_SECONDS
    assert OUTSTANDING_MAX == five_calls.OUTSTANDING_MAX
    assert ((PROCESS_ID_METADATA, PROCESS_ID),) == five_calls._named(PROCESS_ID)
