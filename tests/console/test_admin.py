"""`oms admin`: parked, retry, resolve."""

import getpass

import grpc
import pytest

from console.exits import Exit
from oms.orchestrator.v1.order_process_admin_service_pb2 import (
    ResolveOrderProcessRequest,
    RetryOrderProcessRequest,
)
from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_CANCELLED,
    ORDER_PROCESS_STATE_PARKED,
)
from oms.orchestrator.v1.order_process_service_pb2 import StartOrderProcessRequest
from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceStub
from tests.console.harness.command import oms
from tests.console.harness.fake_orchestrator import FakeOrchestrator


@pytest.fixture
def parked(orchestrator: FakeOrchestrator) -> FakeOrchestrator:
    """An orchestrator with three processes parked (r0, r1, r2), and one that is done."""
    with grpc.insecure_channel(orchestrator.target) as channel:
        stub = OrderProcessServiceStub(channel)
        for number in range(4):
            request = StartOrderProcessRequest(
                request_id=f"r{number}",
                customer_id="c1",
                payment_method="pm_parks" if number < 3 else "pm_card_visa",
                return_immediately=True,
            )
            stub.StartOrderProcess(request, timeout=10)
    orchestrator.process("r2").parking.step = "cancel_order"
    return orchestrator


def retried(parked: FakeOrchestrator) -> RetryOrderProcessRequest:
    (request,) = parked.requests["RetryOrderProcess"]
    assert isinstance(request, RetryOrderProcessRequest)
    return request


@pytest.mark.usefixtures("parked")
def test_parked_lists_where_why_and_the_revision() -> None:
    ran = oms("admin", "parked")
    assert Exit.DONE is ran.exit
    assert 4 == len(ran.out.splitlines())
    assert ["cancel_payment", "NOT_TODAY"] == ran.out.splitlines()[-1].split()[1:3]
    assert "4" == ran.out.splitlines()[-1].split()[-1]


@pytest.mark.usefixtures("parked")
def test_parked_can_be_narrowed_down() -> None:
    assert 1 == len(oms("admin", "parked", "--step", "cancel_order", "--json").json["processes"])
    assert "Nothing is parked.\n" == oms("admin", "parked", "--parked-reason", "OTHER").out
    before = oms("admin", "parked", "--parked-before", "2000-01-01", "--json")
    assert [] == before.json["processes"]
    assert 2 == len(oms("admin", "parked", "--limit", "2", "--json").json["processes"])


def test_a_retry_shows_what_it_is_about_and_asks(parked: FakeOrchestrator) -> None:
    ran = oms("admin", "retry", "r0", "--reason", "it is well", typed="y\n")
    assert Exit.DONE is ran.exit
    assert "NOT_TODAY" in ran.out
    request = retried(parked)
    assert (parked.process("r0").process_id, 4) == (
        request.process.process_id,
        request.process.revision,
    )
    assert ("it is well", getpass.getuser()) == (request.reason, request.requested_by)


def test_a_retry_that_is_not_confirmed_does_nothing(parked: FakeOrchestrator) -> None:
    ran = oms("admin", "retry", "r0", "--reason", "it is well", typed="n\n")
    assert Exit.FAILED is ran.exit
    assert 0 == parked.calls["RetryOrderProcess"]


def test_a_retry_that_nobody_can_confirm_does_nothing(parked: FakeOrchestrator) -> None:
    assert Exit.FAILED is oms("admin", "retry", "r0", "--reason", "it is well").exit
    assert 0 == parked.calls["RetryOrderProcess"]


@pytest.mark.parametrize("sure", ["--yes", "--json"])
def test_a_retry_that_is_sure_asks_nothing(parked: FakeOrchestrator, sure: str) -> None:
    ran = oms("admin", "retry", "r0", "--reason", "well", "--requested-by", "ada", sure)
    assert Exit.DONE is ran.exit
    assert "ada" == retried(parked).requested_by


def test_a_retry_by_filter_names_nothing_that_was_not_shown(parked: FakeOrchestrator) -> None:
    newest = parked.process("r1").parking.park_time.ToMicroseconds()
    ran = oms("admin", "retry", "--step", "cancel_payment", "--reason", "well", "--json")
    assert 2 == len(ran.json["processes"])
    request = retried(parked).filter
    assert ("cancel_payment", "", 1_000) == (request.step, request.reason, request.limit)
    assert newest + 1 == request.parked_before.ToMicroseconds()
    assert ORDER_PROCESS_STATE_PARKED == parked.process("r2").state


def test_a_retry_of_all_takes_all(parked: FakeOrchestrator) -> None:
    ran = oms("admin", "retry", "--all", "--reason", "well", "--yes")
    assert "3 processes tried afresh." in ran.out
    assert ORDER_PROCESS_STATE_CANCELLED == parked.process("r2").state


def test_a_retry_of_none_asks_nothing(parked: FakeOrchestrator) -> None:
    ran = oms("admin", "retry", "--parked-reason", "OTHER", "--reason", "well")
    assert (Exit.DONE, "Nothing is parked.\n") == (ran.exit, ran.out)
    assert 0 == parked.calls["RetryOrderProcess"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("retry", "r0"),
        ("retry", "r0", "--reason", " "),
        ("retry", "--reason", "well"),
        ("retry", "r0", "--all", "--reason", "well"),
        ("retry", "--all", "--revision", "4", "--reason", "well"),
        ("resolve", "r0"),
    ],
)
def test_a_wish_that_says_too_little_or_too_much_is_bad_input(
    parked: FakeOrchestrator, arguments: tuple[str, ...]
) -> None:
    assert Exit.BAD_INPUT is oms("admin", *arguments, "--yes").exit
    assert 0 == parked.calls["RetryOrderProcess"] + parked.calls["ResolveOrderProcess"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("resolve", "r0"), 'Say why: --reason "refunded, case 4711".\n'),
        (("retry", "r0"), 'Say why: --reason "the gateway is back".\n'),
        (
            ("retry", "r0", "--all", "--reason", "well"),
            "One process, or --all, --step and so on: not both.\n",
        ),
    ],
)
@pytest.mark.usefixtures("parked")
def test_what_is_missing_or_too_much_is_named(arguments: tuple[str, ...], said: str) -> None:
    assert said == oms("admin", *arguments).err


@pytest.mark.usefixtures("parked")
def test_a_process_that_has_moved_on_is_not_retried() -> None:
    ran = oms("admin", "retry", "r0", "--revision", "3", "--reason", "well", "--yes")
    assert (Exit.FAILED, "It moved on (REVISION_MISMATCH).\n") == (ran.exit, ran.err)


@pytest.mark.usefixtures("parked")
def test_a_process_that_is_not_parked_is_not_retried_and_nothing_is_asked() -> None:
    ran = oms("admin", "retry", "r3", "--reason", "well")
    assert (Exit.FAILED, "The process is not PARKED (NOT_PARKED).\n") == (ran.exit, ran.err)


def test_a_resolution_says_what_was_done_who_says_so_and_why(parked: FakeOrchestrator) -> None:
    ran = oms("admin", "resolve", "r0", "--reason", "refunded, case 7", typed="y\n")
    assert Exit.DONE is ran.exit
    assert "Has cancel_payment been done by hand?" in ran.out
    (request,) = parked.requests["ResolveOrderProcess"]
    assert isinstance(request, ResolveOrderProcessRequest)
    assert ("refunded, case 7", getpass.getuser(), 4) == (
        request.reason,
        request.requested_by,
        request.process.revision,
    )
    shown = oms("process", "get", "r0").out
    assert "cancel_payment: refunded, case 7" in shown
