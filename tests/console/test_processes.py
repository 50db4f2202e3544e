"""`oms process`: list, get, watch, cancel."""

import grpc
import pytest

from console.exits import Exit
from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_CANCELLED,
    ORDER_PROCESS_STATE_COMPLETED,
)
from oms.orchestrator.v1.order_process_service_pb2 import (
    CancelOrderProcessRequest,
    ListOrderProcessesRequest,
    StartOrderProcessRequest,
)
from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceStub
from oms.order.v1.order_pb2 import OrderItem
from tests.console.harness.command import oms, start_oms
from tests.console.harness.fake_orchestrator import FakeOrchestrator
from tests.console.harness.faults import AWAY, Fault, refused


@pytest.fixture
def placed(orchestrator: FakeOrchestrator) -> FakeOrchestrator:
    """An orchestrator with a process of each kind: done, declined, parked, waiting."""
    with grpc.insecure_channel(orchestrator.target) as channel:
        stub = OrderProcessServiceStub(channel)
        for method in ("pm_card_visa", "pm_card_chargeDeclined", "pm_parks", "pm_waits"):
            price = Money(currency_code="USD", minor_units=1250)
            request = StartOrderProcessRequest(
                request_id=f"r-{method}",
                customer_id=f"c-{method}",
                items=[OrderItem(sku="BOOK", quantity=2, unit_price=price)],
                payment_method=method,
                return_immediately=True,
            )
            stub.StartOrderProcess(request, timeout=10)
    return orchestrator


def asked(placed: FakeOrchestrator) -> ListOrderProcessesRequest:
    (request,) = placed.requests["ListOrderProcesses"]
    assert isinstance(request, ListOrderProcessesRequest)
    return request


@pytest.mark.usefixtures("placed")
def test_a_list_has_a_line_for_each_process_newest_first() -> None:
    ran = oms("process", "list")
    assert Exit.DONE is ran.exit
    assert ["RUNNING", "PARKED", "CANCELLED", "COMPLETED"] == [
        line.split()[1] for line in ran.out.splitlines()[1:]
    ]
    assert "25.00 USD" in ran.out


@pytest.mark.usefixtures("placed")
def test_a_list_in_json_is_the_reply() -> None:
    ran = oms("process", "list", "--json", "--limit", "3")
    assert ("3", 3) == (ran.json["next_page_token"], len(ran.json["processes"]))


@pytest.mark.usefixtures("placed")
def test_a_list_says_how_to_go_on_and_goes_on() -> None:
    first = oms("process", "list", "--limit", "3")
    assert "There are more: --page-token 3\n" == first.err
    rest = oms("process", "list", "--limit", "3", "--page-token", "3")
    assert ["c-pm_card_visa"] == [line.split()[2] for line in rest.out.splitlines()[1:]]


def test_the_filters_are_the_servers(placed: FakeOrchestrator) -> None:
    oms(
        *("process", "list", "--state", "parked", "--state", "RUNNING", "--customer", "c1"),
        *("--since", "2026-11-23T05:32", "--before", "2026-11-23T07:00+01:00"),
    )
    request = asked(placed)
    assert [5, 1] == list(request.states)
    assert "c1" == request.customer_id
    assert "2026-11-23T05:32:00Z" == request.create_time_after.ToJsonString()
    assert "2026-11-23T06:00:00Z" == request.create_time_before.ToJsonString()


def test_a_time_that_is_none_is_bad_input() -> None:
    ran = oms("process", "list", "--since", "yesterday")
    assert Exit.BAD_INPUT is ran.exit
    assert '"yesterday" is not a time' in ran.err


def test_a_state_that_is_none_is_bad_input_as_the_help_writes_it() -> None:
    ran = oms("process", "list", "--state", "DONE")
    assert Exit.BAD_INPUT is ran.exit
    among = "RUNNING, COMPENSATING, COMPLETED, CANCELLED, PARKED"
    assert f'--state "DONE" is none of {among}.\n' == ran.err


def test_the_target_may_follow_the_command_and_wins(
    orchestrator: FakeOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMS_TARGET", "127.0.0.1:1")
    target = ("--target", orchestrator.target)
    assert Exit.DONE is oms("process", "list", *target).exit
    assert Exit.DONE is oms("--target", "127.0.0.1:1", "process", "list", *target).exit
    assert Exit.DONE is oms(*target, "process", "list").exit
    assert Exit.BAD_INPUT is oms("process", "list", "--target", "a,b").exit


@pytest.mark.usefixtures("orchestrator")
def test_an_empty_list_says_so() -> None:
    assert "No processes.\n" == oms("process", "list").out


@pytest.mark.parametrize(
    "key", ["prc_" + "0" * 25 + "1", "ord_" + "0" * 25 + "1", "r-pm_card_chargeDeclined"]
)
@pytest.mark.usefixtures("placed")
def test_a_process_is_found_by_any_of_its_ids(key: str) -> None:
    ran = oms("process", "get", key)
    assert Exit.DONE is ran.exit
    for shown in ("CANCELLED", "r-pm_card_chargeDeclined", "PAYMENT_DECLINED", "cancel_order"):
        assert shown in ran.out


@pytest.mark.usefixtures("placed")
def test_what_an_id_is_can_be_said() -> None:
    assert Exit.FAILED is oms("process", "get", "r-pm_card_visa", "--by", "process").exit
    assert Exit.DONE is oms("process", "get", "r-pm_card_visa", "--by", "request").exit


@pytest.mark.usefixtures("placed")
def test_a_process_that_is_not_there_is_told_in_a_sentence() -> None:
    ran = oms("process", "get", "r-none")
    assert (Exit.FAILED, "", "No such process (PROCESS_NOT_FOUND).\n") == (
        ran.exit,
        ran.out,
        ran.err,
    )


@pytest.mark.usefixtures("placed")
def test_a_watch_tells_every_event_once_and_ends_as_the_process_did() -> None:
    ran = oms("process", "watch", "r-pm_card_chargeDeclined")
    assert Exit.CANCELLED is ran.exit
    assert ["1", "2", "3", "4"] == [line.split()[0] for line in ran.out.splitlines()[:-1]]


def test_a_watch_of_what_was_returned_goes_on_past_its_completion(placed: FakeOrchestrator) -> None:
    placed.settle("r-pm_card_visa", ORDER_PROCESS_STATE_CANCELLED)
    ran = oms("process", "watch", "r-pm_card_visa")
    assert Exit.CANCELLED is ran.exit
    assert ["1", "2", "3", "4", "5"] == [line.split()[0] for line in ran.out.splitlines()[:-1]]


def test_a_watch_rides_over_a_server_that_goes_away(placed: FakeOrchestrator) -> None:
    placed.fail("WatchOrderProcess", AWAY)
    placed.fail("WatchOrderProcess.after", AWAY, AWAY)
    ran = oms("process", "watch", "r-pm_card_visa", "--json")
    assert Exit.DONE is ran.exit
    assert ["1", "2", "3", "4"] == [it["event"]["revision"] for it in ran.json_lines]
    assert 4 == placed.calls["WatchOrderProcess"]


def test_a_watch_says_once_that_the_server_is_away_and_once_that_it_is_back(
    placed: FakeOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library has words of its own for it.
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")
    with start_oms("process", "watch", "r-pm_waits") as watching:
        assert watching.stderr is not None
        placed.wait_for_calls("WatchOrderProcess", 1)
        placed.stop()
        assert watching.stderr.readline().endswith("Trying again.\n")
        placed.fail("GetOrderProcess", AWAY, AWAY, AWAY)
        placed.start()
        # There is nothing new that a watch could tell.
        assert "It answers again.\n" == watching.stderr.readline()
        placed.settle("r-pm_waits", ORDER_PROCESS_STATE_COMPLETED)
        _, more = watching.communicate(timeout=30)
    assert (Exit.DONE, "") == (watching.returncode, more)


@pytest.mark.parametrize(
    ("request_id", "ends"), [("r-pm_waits", Exit.STILL_GOING), ("r-pm_parks", Exit.PARKED)]
)
@pytest.mark.usefixtures("placed")
def test_a_watch_of_what_does_not_settle_ends_with_its_time(request_id: str, ends: Exit) -> None:
    assert ends is oms("process", "watch", request_id, "--timeout", "0.3").exit


def test_a_cancel_says_why_and_does_not_wait(placed: FakeOrchestrator) -> None:
    ran = oms("process", "cancel", "r-pm_waits", "--reason", "changed my mind")
    assert Exit.DONE is ran.exit
    (request,) = placed.requests["CancelOrderProcess"]
    assert isinstance(request, CancelOrderProcessRequest)
    assert "changed my mind" == request.reason
    assert 0 == placed.calls["WatchOrderProcess"]


@pytest.mark.usefixtures("placed")
def test_a_return_is_waited_for_from_completed_to_cancelled() -> None:
    ran = oms("process", "cancel", "r-pm_card_visa", "--wait", "--json")
    assert Exit.DONE is ran.exit
    assert "ORDER_PROCESS_STATE_CANCELLED" == ran.json["process"]["state"]


def test_a_return_that_is_too_late_is_told_in_a_sentence(placed: FakeOrchestrator) -> None:
    placed.fail("CancelOrderProcess", refused("RETURN_WINDOW_CLOSED", "it was too long ago."))
    ran = oms("process", "cancel", "r-pm_card_visa")
    assert (Exit.FAILED, "It was too long ago (RETURN_WINDOW_CLOSED).\n") == (ran.exit, ran.err)


def test_nothing_from_outside_reaches_the_terminal_as_a_command(placed: FakeOrchestrator) -> None:
    placed.process("r-pm_waits").customer_id = "\x1b[31mred[/bold]\x07"
    placed.settle("r-pm_waits", ORDER_PROCESS_STATE_COMPLETED)
    ran = oms("process", "get", "r-pm_waits")
    assert Exit.DONE is ran.exit
    assert " [31mred[/bold]\n" in ran.out
    assert "\x1b" not in ran.out


def test_a_customer_who_turns_the_line_around_does_so_nowhere(placed: FakeOrchestrator) -> None:
    evil = "\u202emoc.live\u2069\u200b\x9b"
    placed.process("r-pm_waits").customer_id = evil
    shown = oms("process", "list")
    assert "\\u202emoc.live\\u2069" in shown.out
    told = oms("process", "list", "--json")
    assert evil in {it["customer_id"] for it in told.json["processes"]}
    assert not set(evil) & {"\u202e", "\u2069", "\u200b", "\x9b"} & set(shown.out + told.out)


def test_what_answers_but_is_no_orchestrator_is_told(placed: FakeOrchestrator) -> None:
    placed.fail("GetOrderProcess", Fault(code=grpc.StatusCode.UNIMPLEMENTED))
    ran = oms("process", "get", "r1")
    assert f"What answers at {placed.target} is not an orchestrator.\n" == ran.err
