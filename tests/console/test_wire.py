"""What an error on the wire says."""

from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from hypothesis import given
from hypothesis import strategies as st

from console.exits import Exit
from console.wire import CallFailed, plain, read_error


def answered(
    code: grpc.StatusCode, message: str = "", details: bytes | status_pb2.Status | None = None
) -> CallFailed:
    if isinstance(details, status_pb2.Status):
        details = details.SerializeToString()
    pairs: list[tuple[str, Any]] = []
    if details is not None:
        pairs.append(("grpc-status-details-bin", details))
    error = grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), grpc.aio.Metadata(*pairs), details=message
    )
    return read_error(error, target="127.0.0.1:50051")


def status(*messages: Any) -> status_pb2.Status:
    found = status_pb2.Status(code=3)
    for message in messages:
        found.details.add().Pack(message)
    return found


def test_the_details_are_read() -> None:
    bad = BadRequest()
    bad.field_violations.add(field="items", description="is required")
    delay = RetryInfo()
    delay.retry_delay.FromMilliseconds(1_500)
    failed = answered(
        grpc.StatusCode.INVALID_ARGUMENT,
        "the request is invalid",
        status(ErrorInfo(reason="INVALID_REQUEST"), bad, delay),
    )
    assert ("INVALID_REQUEST", 1.5) == (failed.reason, failed.retry_after_seconds)
    assert [("items", "is required")] == [(it.field, it.description) for it in failed.violations]
    assert "The request is not right (INVALID_REQUEST):" == failed.sentence()


@given(details=st.binary(max_size=200))
def test_details_that_cannot_be_read_count_as_not_given(details: bytes) -> None:
    assert answered(grpc.StatusCode.INTERNAL, "no", details).sentence()


def test_a_detail_that_is_broken_spoils_no_other() -> None:
    found = status(ErrorInfo(reason="INVALID_REQUEST"))
    found.details.add(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff")
    assert "INVALID_REQUEST" == answered(grpc.StatusCode.INVALID_ARGUMENT, "", found).reason


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (
            grpc.StatusCode.UNAVAILABLE,
            "failed to connect to all addresses; last error: Connection refused (111)",
            "Nothing answers at 127.0.0.1:50051 (connection refused).",
        ),
        (
            grpc.StatusCode.UNAVAILABLE,
            "DNS resolution failed for nowhere",
            "Nothing answers at 127.0.0.1:50051 (its name does not resolve).",
        ),
        (
            grpc.StatusCode.UNAVAILABLE,
            "Socket closed",
            "Nothing answers at 127.0.0.1:50051 (the connection broke).",
        ),
        (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "Deadline Exceeded",
            "127.0.0.1:50051 did not answer in time.",
        ),
        (grpc.StatusCode.INTERNAL, "internal error", "Internal error (INTERNAL)."),
        (grpc.StatusCode.UNKNOWN, "", "127.0.0.1:50051 answered UNKNOWN."),
    ],
)
def test_an_error_is_a_sentence(code: grpc.StatusCode, message: str, said: str) -> None:
    assert said == answered(code, message).sentence()


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, Exit.BAD_INPUT),
        (grpc.StatusCode.ALREADY_EXISTS, Exit.BAD_INPUT),
        (grpc.StatusCode.NOT_FOUND, Exit.FAILED),
        (grpc.StatusCode.UNAVAILABLE, Exit.FAILED),
    ],
)
def test_an_error_has_an_exit_code(code: grpc.StatusCode, ends: Exit) -> None:
    assert ends is answered(code).exit


def test_text_from_outside_is_one_bounded_line() -> None:
    assert "a b c" == plain("a\nb\x1bc")
    assert 1_000 == len(plain("x" * 5_000))


def test_what_formats_the_text_around_it_is_shown_as_its_number() -> None:
    assert "a\\u202eb\\u200b" == plain("a\u202eb\u200b")
    assert "Zoë 北京市" == plain("Zoë 北京市")
