"""The bare orchestrator makes the calls that ours makes, and answers what ours does."""

from collections.abc import Sequence

from google.protobuf.message import Message

from bench.speed import five_calls
from bench.speed.works import TOTAL, order, written_order
from chassis.handlers import PROCESS_ID_METADATA
from oms.orchestrator.v1.order_process_service_pb2 import StartOrderProcessRequest
from orchestrator import requests, views
from orchestrator.action import ActionCall
from orchestrator.order_process import ORDER_PROCESS
from orchestrator.participants import delivery, payment
from orchestrator.participants import order as order_client
from orchestrator.participants.participant import OUTSTANDING_MAX
from orchestrator.saga.advance import advance
from orchestrator.saga.code import Code
from orchestrator.saga.decide import Call
from orchestrator.saga.events import AttemptEnded, Started
from orchestrator.saga.evolve import evolve
from orchestrator.saga.retry import microseconds
from orchestrator.saga.state import Phase
from orchestrator.saga_log.protocol import ProcessRow
from orchestrator.settings import OrchestratorSettings

PROCESS_ID = "prc_01jd"
REQUEST = order("r1", 7)


class Completed:
    """A process of ours whose calls are answered OK at once, each at one of these moments."""

    def __init__(self, moments_us: Sequence[int]) -> None:
        began_us, *answered_us = moments_us
        _, placed = requests.start(REQUEST)
        patience = OrchestratorSettings().process_deadline_seconds
        started = Started(
            definition=ORDER_PROCESS.name,
            version=ORDER_PROCESS.version,
            input={**placed.content(), "total": placed.total.content()},
            deadline_us=began_us + microseconds(patience),
            time_us=began_us,
        )
        self.state = evolve(None, started)
        happened: tuple[AttemptEnded, ...] = ()
        for moment_us in moments_us:
            ahead = advance(ORDER_PROCESS, self.state, moment_us, happened=happened)
            self.state = ahead.state
            if isinstance(call := ahead.command, Call):
                self.state = evolve(self.state, call.event(moment_us))
                result = {"total": placed.total.content()} if call.action == "create_order" else {}
                happened = (
                    AttemptEnded(
                        action=call.action,
                        attempt=1,
                        code=Code.OK,
                        result=result,
                        time_us=answered_us.pop(0),
                    ),
                )
        assert self.state.phase is Phase.COMPLETED
        self.row = ProcessRow(
            process_id=PROCESS_ID,
            business_key=REQUEST.request_id,
            fingerprint="f",
            subject=REQUEST.customer_id,
            phase=self.state.phase,
            revision=self.state.revision,
            epoch=1,
            owner=None,
            due_time_us=None,
            create_time_us=began_us,
            update_time_us=self.state.update_time_us,
            end_time_us=self.state.end_time_us,
        )


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


def test_the_caller_is_answered_the_same() -> None:
    moments_us = [10, 20, 30, 40, 50, 60]
    history = Completed(moments_us)
    ours = views.process_message(history.row, history.state)
    assert ours == five_calls.completed(PROCESS_ID, REQUEST, TOTAL, moments_us)


def test_the_total_is_what_the_order_service_adds_up() -> None:
    _, placed = requests.start(REQUEST)
    assert TOTAL.minor_units == placed.total.minor_units


def test_deadline_bound_and_metadata_are_the_same() -> None:
    assert OrchestratorSettings().attempt_timeout_seconds == five_calls.TIMEOUT_SECONDS
    assert OUTSTANDING_MAX == five_calls.OUTSTANDING_MAX
    assert ((PROCESS_ID_METADATA, PROCESS_ID),) == five_calls._named(PROCESS_ID)
