"""`oms order place`."""

import json
import signal
from pathlib import Path

import grpc
import pytest

from console.exits import Exit
from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED
from oms.orchestrator.v1.order_process_service_pb2 import StartOrderProcessRequest
from tests.console.harness.command import Ran, oms, start_oms
from tests.console.harness.fake_orchestrator import FakeOrchestrator
from tests.console.harness.faults import AWAY, Fault

ADDRESS = (
    *("--recipient", "Ada", "--line", "1 Market St", "--line", "Floor 2"),
    *("--locality", "San Francisco", "--postal-code", "94105", "--country", "US"),
)


def place(*more: str, method: str = "pm_card_visa", item: str = "BOOK:2:12.50") -> Ran:
    order = ("--customer", "c1", "--item", item, "--payment-method", method)
    return oms("order", "place", *order, *ADDRESS, *more)


def sent(orchestrator: FakeOrchestrator) -> StartOrderProcessRequest:
    (request,) = {
        it.SerializeToString(): it for it in orchestrator.requests["StartOrderProcess"]
    }.values()
    assert isinstance(request, StartOrderProcessRequest)
    return request


@pytest.mark.usefixtures("orchestrator")
@pytest.mark.parametrize(
    ("method", "ends", "state"),
    [
        ("pm_card_visa", Exit.DONE, "COMPLETED"),
        ("pm_card_chargeDeclined", Exit.CANCELLED, "CANCELLED"),
        ("pm_parks", Exit.PARKED, "PARKED"),
    ],
)
def test_the_exit_code_says_how_the_process_ended(method: str, ends: Exit, state: str) -> None:
    ran = place(method=method)
    assert ends is ran.exit
    assert state in ran.out


def test_the_flags_make_the_order(orchestrator: FakeOrchestrator) -> None:
    place("--item", "a:b:3:7", "--request-id", "r1", "--region", "CA")
    request = sent(orchestrator)
    assert "r1" == request.request_id
    assert [("BOOK", 2), ("a:b", 3)] == [(it.sku, it.quantity) for it in request.items]
    assert [1250, 700] == [it.unit_price.minor_units for it in request.items]
    assert ["1 Market St", "Floor 2"] == list(request.delivery_address.lines)
    assert "CA" == request.delivery_address.region


def test_a_price_is_in_the_minor_units_of_its_currency(orchestrator: FakeOrchestrator) -> None:
    place("--currency", "KWD", item="BOOK:1:1.250")
    assert Money(currency_code="KWD", minor_units=1250) == sent(orchestrator).items[0].unit_price


@pytest.mark.usefixtures("orchestrator")
def test_each_step_is_a_line_of_stderr_where_there_is_no_terminal() -> None:
    ran = place()
    assert ["✓ create_order", "✓ process_payment"] == [
        line.split("  ")[0] for line in ran.err.splitlines()
    ]
    assert ran.out.startswith("prc_")
    assert "\x1b" not in ran.out + ran.err


@pytest.mark.usefixtures("orchestrator")
def test_no_line_for_a_program_ends_in_blanks() -> None:
    lines = place().out.splitlines()
    assert [line.rstrip() for line in lines] == lines


def test_an_order_can_come_from_a_file(orchestrator: FakeOrchestrator, tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    order = {
        "request_id": "r7",
        "customerId": "c1",
        "items": [{"sku": "BOOK", "quantity": 2, "unit_price": {"currency_code": "USD"}}],
        "payment_method": "pm_card_visa",
    }
    file.write_text(json.dumps(order))
    ran = oms("order", "place", "--from-json", str(file), "--json")
    assert Exit.DONE is ran.exit
    assert "ORDER_PROCESS_STATE_COMPLETED" == ran.json["process"]["state"]
    assert "r7" == sent(orchestrator).request_id


def test_an_order_can_come_from_stdin_with_a_request_id_from_a_flag(
    orchestrator: FakeOrchestrator,
) -> None:
    ran = oms(
        "order", "place", "--from-json", "-", "--request-id", "r8", typed='{"customer_id": "c1"}'
    )
    assert Exit.CANCELLED is ran.exit
    assert "r8" == sent(orchestrator).request_id


@pytest.mark.parametrize(
    ("typed", "said"),
    [("{", "is not a StartOrderProcessRequest"), ('{"customer": 1}', 'no field named "customer"')],
)
def test_json_that_is_no_order_is_bad_input(
    orchestrator: FakeOrchestrator, typed: str, said: str
) -> None:
    ran = oms("order", "place", "--from-json", "-", typed=typed)
    assert Exit.BAD_INPUT is ran.exit
    assert said in ran.err
    assert 0 == orchestrator.calls["StartOrderProcess"]


def test_a_file_that_is_not_there_is_bad_input() -> None:
    ran = oms("order", "place", "--from-json", "nowhere.json")
    assert (Exit.BAD_INPUT, "nowhere.json cannot be read: No such file or directory.\n") == (
        ran.exit,
        ran.err,
    )


def test_flags_beside_a_whole_order_are_bad_input() -> None:
    ran = oms("order", "place", "--from-json", "-", "--customer", "c1", typed="{}")
    assert Exit.BAD_INPUT is ran.exit


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("BOOK:2", "is not SKU:QTY:PRICE"),
        (":2:1.00", "is not SKU:QTY:PRICE"),
        ("BOOK:two:1.00", '"two" is not a whole number'),
        ("BOOK:2:1,50", '"1,50" is not a price: write it as 12.50'),
        ("BOOK:2:1.005", "USD, which has 2 digits after the point"),
        ("BOOK:1_0:1.00", '"1_0" is not a whole number'),
        ("BOOK:99999999999:1.00", "beyond all bounds"),
        (f"BOOK:{'9' * 5_000}:1.00", "beyond all bounds"),
    ],
)
def test_an_item_that_cannot_be_read_is_bad_input(item: str, said: str) -> None:
    ran = place(item=item)
    assert Exit.BAD_INPUT is ran.exit
    assert said in ran.err


@pytest.mark.usefixtures("orchestrator")
def test_what_the_server_finds_wrong_is_told_field_by_field() -> None:
    ran = oms("order", "place")
    assert Exit.BAD_INPUT is ran.exit
    assert [
        "The request is not right (INVALID_REQUEST):",
        "  customer_id  is required",
        "  items  must be 1 to 1,000",
    ] == ran.err.splitlines()


@pytest.mark.usefixtures("orchestrator")
def test_what_the_server_finds_wrong_is_told_in_json_too() -> None:
    ran = oms("order", "place", "--json")
    assert "" == ran.out
    assert {"field": "customer_id", "description": "is required"} in json.loads(ran.err)["error"][
        "violations"
    ]


@pytest.mark.usefixtures("orchestrator")
def test_a_request_id_of_another_order_is_bad_input() -> None:
    place("--request-id", "r1")
    ran = place("--request-id", "r1", item="BOOK:3:12.50")
    assert Exit.BAD_INPUT is ran.exit
    assert "REQUEST_ID_REUSED" in ran.err


def test_a_request_id_that_is_empty_is_bad_input_and_none_is_drawn(
    orchestrator: FakeOrchestrator,
) -> None:
    ran = place("--request-id", "")
    assert Exit.BAD_INPUT is ran.exit
    assert "--request-id is empty" in ran.err
    assert 0 == orchestrator.calls["StartOrderProcess"]


def test_an_order_is_sent_again_with_the_same_request_id_until_it_is_accepted(
    orchestrator: FakeOrchestrator,
) -> None:
    full = Fault(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="OVERLOADED", retry_after_seconds=0.01
    )
    orchestrator.fail("StartOrderProcess", AWAY, full, AWAY)
    ran = place()
    assert Exit.DONE is ran.exit
    assert 4 == orchestrator.calls["StartOrderProcess"]
    assert 1 == len(orchestrator.kept)
    assert sent(orchestrator).request_id
    assert "The server is stopping (DRAINING). Trying again." in ran.err
    assert "It answers again." in ran.err


def test_what_cannot_pass_is_not_sent_again(orchestrator: FakeOrchestrator) -> None:
    orchestrator.fail("StartOrderProcess", Fault(code=grpc.StatusCode.INTERNAL, reason="INTERNAL"))
    assert Exit.FAILED is place().exit
    assert 1 == orchestrator.calls["StartOrderProcess"]


def test_an_order_that_reached_no_server_is_known_not_to_be_accepted(
    orchestrator: FakeOrchestrator,
) -> None:
    orchestrator.stop()
    ran = place("--timeout", "0.5", "--request-id", "r9")
    assert Exit.FAILED is ran.exit
    assert f"Nothing answers at {orchestrator.target} (connection refused)." in ran.err
    assert "It was not accepted: no server was ever reached.\n" in ran.err
    assert "Traceback" not in ran.err


def test_of_an_order_that_was_sent_it_is_told_how_to_ask_again(
    orchestrator: FakeOrchestrator,
) -> None:
    orchestrator.fail("StartOrderProcess", *[AWAY] * 100)
    ran = place("--timeout", "0.3", "--request-id", "r9")
    assert Exit.FAILED is ran.exit
    assert "Whether it was accepted is not known." in ran.err
    assert "--request-id r9" in ran.err


FULL = Fault(code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="OVERLOADED")


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([FULL] * 100, "It was not accepted: there is no room for it now. Ask again later."),
        # What came of the first may still come about.
        ([AWAY, *[FULL] * 100], "Whether it was accepted is not known."),
    ],
)
def test_an_order_for_which_there_is_no_room_is_known_not_to_be_accepted(
    orchestrator: FakeOrchestrator, answers: list[Fault], told: str
) -> None:
    orchestrator.fail("StartOrderProcess", *answers)
    ran = place("--timeout", "0.3", "--request-id", "r9")
    assert Exit.FAILED is ran.exit
    assert told in ran.err


@pytest.mark.usefixtures("orchestrator")
def test_a_process_that_outlasts_the_timeout_is_still_going() -> None:
    ran = place("--timeout", "0.5", method="pm_waits")
    assert Exit.STILL_GOING is ran.exit
    assert "It goes on by itself." in ran.out


def test_an_order_that_is_interrupted_goes_on_and_that_is_told(
    orchestrator: FakeOrchestrator,
) -> None:
    order = ("--customer", "c1", "--item", "BOOK:1:1.00", "--payment-method", "pm_waits")
    with start_oms("order", "place", *order) as placing:
        orchestrator.wait_for_calls("WatchOrderProcess", 1)
        placing.send_signal(signal.SIGINT)
        _, err = placing.communicate(timeout=60)
    assert Exit.INTERRUPTED == placing.returncode
    assert "It goes on by itself. See it with: oms process watch prc_" in err
    assert "Traceback" not in err


def test_a_message_that_is_too_large_is_not_sent_again(orchestrator: FakeOrchestrator) -> None:
    orchestrator.fail("StartOrderProcess", Fault(code=grpc.StatusCode.RESOURCE_EXHAUSTED))
    assert Exit.FAILED is place().exit
    assert 1 == orchestrator.calls["StartOrderProcess"]


def test_no_wait_answers_as_soon_as_it_is_accepted(orchestrator: FakeOrchestrator) -> None:
    ran = place("--no-wait", "--json", method="pm_waits")
    assert Exit.DONE is ran.exit
    assert "ORDER_PROCESS_STATE_RUNNING" == ran.json["process"]["state"]
    assert 0 == orchestrator.calls["WatchOrderProcess"]


def test_a_watch_that_breaks_off_is_taken_up_where_it_broke_off(
    orchestrator: FakeOrchestrator,
) -> None:
    place("--no-wait", "--request-id", "r1", method="pm_waits")
    orchestrator.settle("r1", ORDER_PROCESS_STATE_COMPLETED)
    orchestrator.fail("WatchOrderProcess.after", AWAY, AWAY, AWAY)
    ran = oms("process", "watch", "r1", "--json")
    assert Exit.DONE is ran.exit
    assert [1, 2, 3, 4] == [int(it["event"]["revision"]) for it in ran.json_lines]
    assert 4 == orchestrator.calls["WatchOrderProcess"]
