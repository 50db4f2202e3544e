from urllib.parse import quote

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from chassis.faults import (
    CODES,
    Defect,
    Fault,
    Invalid,
    NotFound,
    Overloaded,
    Rejected,
    Unavailable,
    Violation,
)
from chassis.statuses import (
    MESSAGE_LENGTH_MAX,
    WireError,
    internal_status,
    read_error,
    sanitised,
    to_answer,
    to_status,
)

# What gRPC's clients take before they begin to drop trailing metadata.
CLIENT_TAKES_BYTES = 8 * 1024

any_text = st.text(max_size=3_000)


def as_error(status: status_pb2.Status) -> grpc.aio.AioRpcError:
    """The error that a client gets for this status."""
    codes = {code.value[0]: code for code in grpc.StatusCode}
    return grpc.aio.AioRpcError(
        codes[status.code],
        initial_metadata=grpc.aio.Metadata(),
        trailing_metadata=grpc.aio.Metadata(
            ("grpc-status-details-bin", status.SerializeToString())
        ),
        details=status.message,
    )


def with_details(*details: Message) -> grpc.aio.AioRpcError:
    status = status_pb2.Status(code=grpc.StatusCode.ABORTED.value[0], message="no")
    for detail in details:
        status.details.add().Pack(detail)
    return as_error(status)


def on_the_wire_bytes(status: status_pb2.Status) -> int:
    """What the trailers of this status weigh, as HTTP/2 counts: 32 for each besides its text."""
    printable = "".join(chr(it) for it in range(0x20, 0x7F) if chr(it) != "%")
    message = len(quote(status.message, safe=printable))
    details = -(-status.ByteSize() // 3) * 4
    names = len("grpc-statusgrpc-messagegrpc-status-details-bin") + 2 + 3 * 32
    return message + details + names


def detail_of(status: status_pb2.Status, kind: type[Message]) -> Message:
    for detail in status.details:
        found = kind()
        if detail.Unpack(found):
            return found
    raise AssertionError(f"no {kind.__name__} in {status}")


@pytest.mark.parametrize("kind", [it for it in CODES if it not in {Invalid, Overloaded, Defect}])
def test_a_fault_becomes_its_code_with_reason_domain_and_message(kind: type[Fault]) -> None:
    status = to_status(kind("SOME_REASON", "what happened", metadata={"order_id": "ord_1"}))
    assert status.code == CODES[kind].value[0]
    assert status.message == "what happened"
    assert detail_of(status, ErrorInfo) == ErrorInfo(
        reason="SOME_REASON", domain="oms", metadata={"order_id": "ord_1"}
    )
    assert len(status.details) == 1


def test_an_invalid_request_carries_every_violation() -> None:
    violations = [
        Violation(field="items[1].quantity", description="must be at least 1"),
        Violation(field="customer_id", description="is required"),
    ]
    status = to_status(Invalid(violations))
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert detail_of(status, ErrorInfo) == ErrorInfo(reason="INVALID_REQUEST", domain="oms")
    assert detail_of(status, BadRequest) == BadRequest(
        field_violations=[
            BadRequest.FieldViolation(field=it.field, description=it.description)
            for it in violations
        ]
    )


@pytest.mark.parametrize(
    "fault",
    [
        Overloaded("OVERLOADED", "too much", retry_after_seconds=0.25),
        Unavailable("STORE_UNAVAILABLE", "gone", retry_after_seconds=0.25),
    ],
)
def test_what_may_be_sent_again_says_when(fault: Fault) -> None:
    assert detail_of(to_status(fault), RetryInfo) == RetryInfo(
        retry_delay=Duration(nanos=250_000_000)
    )


@pytest.mark.parametrize(
    "fault",
    [
        Overloaded("OVERLOADED", "too much", retry_after_seconds=0.25),
        Overloaded("OVERLOADED", "too much", retry_after_seconds=0.25, metadata={"limit": "1"}),
        Overloaded("OVERLOADED", "too much", retry_after_seconds=0.5),
        Overloaded("FULL", "too much", retry_after_seconds=0.25),
        Overloaded("OVERLOADED", "far too much", retry_after_seconds=0.25),
        Rejected("OVERLOADED", "too much"),
        Defect("LOST", "SELECT secret"),
    ],
)
def test_an_rpc_is_ended_with_the_status_of_its_fault(fault: Fault) -> None:
    for _ in range(2):
        assert rpc_status.to_status(to_status(fault)) == to_answer(fault)


def test_the_same_to_thousands_is_packed_once() -> None:
    first, second = (Overloaded("OVERLOADED", "no", retry_after_seconds=7.0) for _ in range(2))
    assert to_answer(first) is to_answer(second)


def test_a_wait_that_makes_no_sense_is_told_as_none_at_all() -> None:
    fault = Overloaded("OVERLOADED", "too much", retry_after_seconds=-1)
    assert detail_of(to_status(fault), RetryInfo) == RetryInfo(retry_delay=Duration())


@pytest.mark.parametrize("fault", [Defect("LOST", "SELECT secret"), Fault("LOST", "SELECT secret")])
def test_of_a_defect_nothing_is_told(fault: Fault) -> None:
    assert to_status(fault) == internal_status()
    assert b"SELECT" not in to_status(fault).SerializeToString()
    assert detail_of(internal_status(), ErrorInfo) == ErrorInfo(reason="INTERNAL", domain="oms")


def test_a_thousand_violations_are_cut_to_what_a_client_takes_and_it_is_said() -> None:
    violations = [
        Violation(field=f"items[{n}].unit_price.currency_code", description="must be a code")
        for n in range(1_000)
    ]
    status = to_status(Invalid(violations))
    told = detail_of(status, BadRequest)
    assert isinstance(told, BadRequest)
    assert len(told.field_violations) > 50
    assert told.field_violations[0].field == "items[0].unit_price.currency_code"
    assert told.field_violations[-1].description == "more is wrong than can be told at once"
    assert on_the_wire_bytes(status) < CLIENT_TAKES_BYTES


@given(
    message=any_text,
    metadata=st.dictionaries(st.text(max_size=40), any_text, max_size=5),
    violations=st.lists(
        st.builds(Violation, field=any_text, description=any_text), min_size=1, max_size=50
    ),
)
def test_whatever_a_fault_holds_its_status_fits_into_what_a_client_takes(
    message: str, metadata: dict[str, str], violations: list[Violation]
) -> None:
    rejected = to_status(Rejected("SOME_REASON", message, metadata=metadata))
    invalid = to_status(Invalid(violations))
    assert on_the_wire_bytes(rejected) < CLIENT_TAKES_BYTES
    assert on_the_wire_bytes(invalid) < CLIENT_TAKES_BYTES
    assert len(rejected.message) <= MESSAGE_LENGTH_MAX


@pytest.mark.parametrize("character", ["x", "%", "é", "✗", "👩"])
def test_the_most_that_a_fault_can_hold_fits_into_what_a_client_takes(character: str) -> None:
    longest = character * 5_000
    rejected = Rejected("R" * 63, longest, metadata={f"key{n}": longest for n in range(100)})
    invalid = Invalid([Violation(field=longest, description=longest)] * 1_000)
    assert on_the_wire_bytes(to_status(rejected)) < CLIENT_TAKES_BYTES
    assert on_the_wire_bytes(to_status(invalid)) < CLIENT_TAKES_BYTES
    assert to_status(rejected).message.endswith("…")


@given(any_text)
def test_a_sanitised_text_is_short_and_on_one_line(text: str) -> None:
    clean = sanitised(text)
    assert len(clean) <= MESSAGE_LENGTH_MAX
    assert clean.splitlines() == ([clean] if clean else [])
    assert sanitised(clean) == clean


def test_what_is_cut_ends_in_an_ellipsis() -> None:
    assert sanitised("abcdef", length_max=4) == "abc…"
    assert sanitised("abcd", length_max=4) == "abcd"


def test_a_client_reads_what_a_server_said() -> None:
    violations = (Violation(field="order_id", description="is required"),)
    assert read_error(as_error(to_status(Invalid(violations)))) == WireError(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="INVALID_REQUEST",
        message="order_id is required",
        violations=violations,
    )
    overloaded = Overloaded("OVERLOADED", "too much", retry_after_seconds=1.5)
    assert read_error(as_error(to_status(overloaded))) == WireError(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="OVERLOADED",
        message="too much",
        retry_after_seconds=1.5,
    )


def test_an_error_without_details_has_no_reason() -> None:
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone\n"
    )
    assert read_error(error) == WireError(
        code=grpc.StatusCode.UNAVAILABLE, reason="", message="gone"
    )
    bare = grpc.aio.AioRpcError(grpc.StatusCode.UNKNOWN)
    assert read_error(bare) == WireError(code=grpc.StatusCode.UNKNOWN, reason="", message="")


def test_a_reason_that_is_none_is_not_read() -> None:
    assert read_error(with_details(ErrorInfo(reason="rm -rf\n/"))).reason == ""
    assert read_error(with_details(ErrorInfo(reason="A" * 64))).reason == ""


def test_a_wait_beyond_measure_is_cut() -> None:
    long = RetryInfo(retry_delay=Duration(seconds=10**11))
    past = RetryInfo(retry_delay=Duration(seconds=-5))
    assert read_error(with_details(long)).retry_after_seconds == 86_400
    assert read_error(with_details(past)).retry_after_seconds == 0


@given(st.binary(max_size=200), st.sampled_from([ErrorInfo, RetryInfo, BadRequest]))
def test_details_of_garbage_are_read_without_a_crash(garbage: bytes, kind: type[Message]) -> None:
    inner = status_pb2.Status(
        code=grpc.StatusCode.ABORTED.value[0],
        details=[Any(type_url=f"type.googleapis.com/{kind.DESCRIPTOR.full_name}", value=garbage)],
    )
    outer = grpc.aio.AioRpcError(
        grpc.StatusCode.ABORTED,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(("grpc-status-details-bin", garbage)),
        "no",
    )
    assert read_error(as_error(inner)).code is grpc.StatusCode.ABORTED
    assert read_error(outer).code is grpc.StatusCode.ABORTED


def test_a_not_found_is_not_an_error_of_another_kind() -> None:
    assert read_error(as_error(to_status(NotFound("ORDER_NOT_FOUND", "no")))).code is (
        grpc.StatusCode.NOT_FOUND
    )
