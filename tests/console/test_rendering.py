"""How processes look."""

import io

import pytest
from rich.console import Console, RenderableType

from console import rendering
from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1 import order_process_pb2 as pb
from tests.console.harness.fake_orchestrator import at


def drawn(what: RenderableType, *, width: int = 100) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, markup=False, highlight=False, emoji=False)
    console.print(what)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def undone() -> pb.OrderProcess:
    """A process that nobody could deliver, parked on its refund."""
    process = pb.OrderProcess(
        process_id="prc_01",
        request_id="r1",
        customer_id="c1",
        state=pb.ORDER_PROCESS_STATE_PARKED,
        order_id="ord_01",
        payment_id="pay_01",
        delivery_id="dlv_01",
        total=Money(currency_code="USD", minor_units=2500),
        create_time=at(0),
        revision=17,
    )
    steps = [
        ("create_order", pb.ORDER_PROCESS_STEP_STATE_SUCCEEDED, 1, "OK", "", False),
        ("process_delivery", pb.ORDER_PROCESS_STEP_STATE_UNKNOWN, 3, "UNAVAILABLE", "", False),
        ("cancel_delivery", pb.ORDER_PROCESS_STEP_STATE_SUCCEEDED, 1, "OK", "", True),
        ("cancel_payment", pb.ORDER_PROCESS_STEP_STATE_REJECTED, 2, "ABORTED", "NOT_TODAY", True),
    ]
    for begin, (name, state, attempts, code, reason, undo) in enumerate(steps):
        process.steps.add(
            name=name,
            state=state,
            attempts=attempts,
            code=code,
            reason=reason,
            undo=undo,
            start_time=at(begin * 1_000),
            end_time=at(begin * 1_000 + 12),
        )
    process.failure.step, process.failure.reason = "process_delivery", "DEADLINE"
    process.failure.message = "the time was over"
    process.parking.step, process.parking.reason = "cancel_payment", "NOT_TODAY"
    process.parking.park_time.CopyFrom(at(5_000))
    process.resolved_by_hand.add(
        step="cancel_delivery", requested_by="ada", reason="called them", resolve_time=at(4_000)
    )
    return process


def test_a_process_is_shown_whole() -> None:
    assert [
        "prc_01  PARKED since 2026-09-21 14:13:25Z",
        "  request   r1",
        "  customer  c1",
        "  total     25.00 USD",
        "  order     ord_01",
        "  payment   pay_01",
        "  delivery  dlv_01",
        "  accepted  2026-09-21 14:13:20Z",
        "  revision  17",
        "",
        "     step              result     tries   began   took  why",
        "  ✓  create_order      succeeded      1   +0 ms  12 ms",
        "  ?  process_delivery  unknown        3  +1.0 s  12 ms  UNAVAILABLE",
        "  ↩  cancel_delivery   succeeded      1  +2.0 s  12 ms",
        "  ✗  cancel_payment    rejected       2  +3.0 s  12 ms  NOT_TODAY",
        "",
        "  turned back   process_delivery: DEADLINE  the time was over",
        "  parked        cancel_payment: NOT_TODAY",
        "  done by hand  cancel_delivery: called them  ada, 2026-09-21 14:13:24Z",
    ] == drawn(rendering.process_detail(undone(), at=at(9_000)))


def test_a_step_that_runs_has_taken_as_long_as_it_has() -> None:
    process = pb.OrderProcess(process_id="prc_01", create_time=at(0))
    process.state = pb.ORDER_PROCESS_STATE_RUNNING
    running = pb.ORDER_PROCESS_STEP_STATE_RUNNING
    process.steps.add(name="create_order", state=running, attempts=2, start_time=at(500))
    assert "prc_01  RUNNING for 3.0 s" == drawn(rendering.process_heading(process, at=at(3_000)))[0]
    (_, line) = drawn(rendering.steps_table(process, at=at(3_000)))
    assert ["…", "create_order", "running", "2", "+500", "ms", "2.5", "s"] == line.split()


def test_an_event_is_a_line() -> None:
    event = pb.OrderProcessEvent(
        revision=7,
        kind=pb.ORDER_PROCESS_EVENT_KIND_ATTEMPT_ENDED,
        event_time=at(1_234),
        step="process_payment",
        attempt=2,
        code="UNAVAILABLE",
        message="gone",
        outcome="unknown",
    )
    assert [
        "  7  14:13:21.234  attempt ended       process_payment #2  unknown  UNAVAILABLE  gone"
    ] == drawn(rendering.event_line(event))


def test_an_event_that_is_too_long_for_the_terminal_goes_on_beside_its_time() -> None:
    event = pb.OrderProcessEvent(
        revision=7,
        kind=pb.ORDER_PROCESS_EVENT_KIND_ATTEMPT_ENDED,
        event_time=at(1_234),
        step="process_payment",
        attempt=2,
        code="DEADLINE_EXCEEDED",
        message="the time was over",
        outcome="unknown",
    )
    assert [
        "  7  14:13:21.234  attempt ended       process_payment #2  unknown",
        "                   DEADLINE_EXCEEDED  the time was over",
    ] == drawn(rendering.event_line(event), width=80)


def test_on_80_columns_the_customer_gives_way_and_the_id_stays_whole() -> None:
    process = pb.OrderProcess(
        process_id="prc_01m83kyzv2eykr2pgm8ndm9msz",
        customer_id="a customer with a long name",
        state=pb.ORDER_PROCESS_STATE_COMPENSATING,
        total=Money(currency_code="USD", minor_units=2500),
        create_time=at(0),
    )
    table = rendering.process_table([process], at=at(3_599_000))
    assert [
        "process                         state         customer        total          age",
        "prc_01m83kyzv2eykr2pgm8ndm9msz  COMPENSATING  a custome…  25.00 USD  59 min 59 s",
    ] == drawn(table, width=80)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0 ms"),
        (0.0124, "12 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h 0 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_a_duration_is_in_the_unit_that_fits(seconds: float, shown: str) -> None:
    assert shown == rendering.duration(seconds)


def test_a_state_of_a_later_release_is_a_number() -> None:
    process = pb.OrderProcess.FromString(b"\x20\x63")
    assert "STATE 99" == rendering.state_name(process.state)


def test_text_from_outside_is_no_markup() -> None:
    process = pb.OrderProcess(process_id="[red]x[/red]", customer_id="[bold")
    process.total.currency_code = "USD"
    shown = "\n".join(drawn(rendering.process_table([process], at=at(0))))
    assert "[red]x[/red]" in shown
    assert "[bold" in shown


def test_what_is_parked_takes_two_lines_where_one_would_break_its_words() -> None:
    process = undone()
    process.process_id = "prc_01m83ns51nenkss2x92pa9xeqr"
    process.parking.reason = "COMPENSATION_HORIZON_EXCEEDED"
    table = rendering.parked_table([process], at=at(9_000))
    header, row = drawn(table, width=120)
    assert ["process", "step", "reason", "parked", "for", "revision"] == header.split()
    assert [process.process_id, "cancel_payment", process.parking.reason] == row.split()[:3]
    assert [
        "prc_01m83ns51nenkss2x92pa9xeqr  parked for 4.0 s, revision 17",
        "  cancel_payment  COMPENSATION_HORIZON_EXCEEDED",
    ] == drawn(table, width=80)
